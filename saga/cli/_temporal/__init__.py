"""What the command line does with a Temporal server; imported when one is named, for it loads temporalio."""

from ._recovering import recovered
from ._server import Server, Workflow
from ._worker import Worked, serve

__all__ = ("Server", "Worked", "Workflow", "recovered", "serve")
