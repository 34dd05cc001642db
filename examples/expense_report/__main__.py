"""Plays the example: `python -m examples.expense_report`."""

import argparse

from examples.money_transfer.engines import ADDRESS, Temporal, leave

from .play import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Hand in expense reports, let people decide about them, pay, and prove that every cent is there.",
        epilog="Exit codes: 0 the proof holds, 1 it does not, 2 nothing was tried, 130 interrupted.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--directory", metavar="DIR", help="keep the databases here: an empty folder, or a new one")
    parser.add_argument("--engine", choices=["embedded", "temporal"], default="embedded", help="(default: embedded)")
    parser.add_argument("--address", metavar="HOST:PORT", help=f"the Temporal server (default: {ADDRESS})")
    given = parser.parse_args()
    if given.address and given.engine == "embedded":
        parser.error("--address is for --engine temporal: the embedded engine needs no server")
    server = (given.address or ADDRESS) if given.engine == "temporal" else None
    code = main(as_json=given.json, directory=given.directory, server=server)
    leave(code, None if server is None else Temporal(server, ""))
