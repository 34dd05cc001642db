"""The examples that the `saga` command runs: in a wheel they lie here, in a checkout in `examples/`."""

from pathlib import Path

__path__.append(str(Path(__file__).parents[2] / "examples"))
