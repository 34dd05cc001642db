"""Runs the demo from a checkout: `python -m examples.money_transfer --kill`."""

import argparse
import sys

from .demo import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="money_transfer", description=main.__doc__)
    parser.add_argument("--transfers", type=int, default=200, metavar="N", help="rows of the file")
    parser.add_argument("--kill", action="store_true", help="kill the worker process several times")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--directory", metavar="DIR", help="keep the databases here")
    given = parser.parse_args()
    sys.exit(
        main(
            transfers=given.transfers,
            kill=given.kill,
            as_json=given.json,
            directory=given.directory,
        )
    )
