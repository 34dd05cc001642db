"""Runs the demo from a checkout: `python -m examples.money_transfer --kill`."""

import argparse

from .demo import main
from .engines import ADDRESS, Temporal, leave

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Move money between two banks, through refusals, doubt and a kill, and prove that all is there.",
        epilog="Exit codes: 0 the proof holds, 1 it does not, 2 nothing was tried, 130 interrupted.",
    )
    parser.add_argument("--transfers", type=int, default=200, metavar="N", help="rows of the file (default: 200)")
    parser.add_argument("--kill", action="store_true", help="kill the worker process several times")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--directory", metavar="DIR", help="keep the databases here")
    parser.add_argument("--engine", choices=["embedded", "temporal"], default="embedded", help="(default: embedded)")
    parser.add_argument("--address", metavar="HOST:PORT", help=f"the Temporal server (default: {ADDRESS})")
    given = parser.parse_args()
    if given.address and given.engine == "embedded":
        parser.error("--address is for --engine temporal: the embedded engine needs no server")
    server = (given.address or ADDRESS) if given.engine == "temporal" else None
    code = main(
        transfers=given.transfers,
        kill=given.kill,
        as_json=given.json,
        directory=given.directory,
        server=server,
    )
    leave(code, None if server is None else Temporal(server, ""))
