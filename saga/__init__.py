"""Write business transactions that span several services as typed classes; run them durably.

`EmbeddedEngine` is imported on first use, so that `import saga` stays light inside activities and workflows.
"""

from typing import TYPE_CHECKING

from saga._version import __version__
from saga.errors import (
    DecisionTimedOut,
    SagaAborted,
    SagaCompensatedError,
    SagaDefinitionError,
    SagaError,
    SagaStuckError,
    StepInDoubt,
    StepRejected,
)
from saga.kernel import (
    AskAgain,
    Compensatable,
    Decision,
    DidNotHappen,
    Effect,
    Engine,
    Finding,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaHandle,
    SagaState,
    SagaView,
    Verdict,
    current_step,
    participant,
)

if TYPE_CHECKING:
    from saga.embedded import EmbeddedEngine

__all__ = (
    "AskAgain",
    "Compensatable",
    "Decision",
    "DecisionTimedOut",
    "DidNotHappen",
    "Effect",
    "EmbeddedEngine",
    "Engine",
    "Finding",
    "Happened",
    "Nested",
    "Pivot",
    "ReadOnly",
    "Retriable",
    "Retry",
    "Saga",
    "SagaAborted",
    "SagaCompensatedError",
    "SagaDefinitionError",
    "SagaError",
    "SagaHandle",
    "SagaState",
    "SagaStuckError",
    "SagaView",
    "StepInDoubt",
    "StepRejected",
    "Verdict",
    "__version__",
    "current_step",
    "participant",
)


def __getattr__(name: str) -> object:
    if name == "EmbeddedEngine":
        from saga.embedded import EmbeddedEngine  # noqa: PLC0415 - SQLAlchemy is loaded when an engine is needed

        return EmbeddedEngine
    msg = f"module 'saga' has no attribute {name!r}"
    raise AttributeError(msg)
