"""The command line: looks at sagas, acts on them, draws and checks their classes, and runs the demo.

Nothing here drives a saga: an act is left in the journal for the engine that does.
"""

from saga.cli._app import main

__all__ = ("main",)
