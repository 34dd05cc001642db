"""Every error of `saga`, one tree under `SagaError`, grouped by who has to act.

SagaError
├── author       SagaDefinitionError, StepOrderError, NotDeterministicError, ReplayMismatchError
├── business     StepRejected, StepInDoubt, SuspendedError, SagaAborted, DecisionTimedOut
├── outcome      SagaCompensatedError, SagaStuckError
├── caller       InvalidIdError, InvalidRequestError, IdReusedError, UnknownSagaError,
│                PayloadTooLargeError, ParticipantError, KeyReusedError, BarrierError,
│                OutsideSagaError
├── operator     ActRefusedError
└── platform     JournalError (JournalWriteError, ForeignJournalError, JournalVersionError,
                 JournalReadOnlyError, JournalLockedError, JournalCorruptError,
                 JournalOrderError),
                 EngineClosedError, OwnershipLostError, MissingExtraError
"""

from saga.errors._author import (
    Fault,
    NotDeterministicError,
    NotDeterministicWarning,
    ReplayMismatchError,
    SagaDefinitionError,
    StepOrderError,
)
from saga.errors._business import (
    DecisionTimedOut,
    SagaAborted,
    SagaCompensatedError,
    SagaStuckError,
    StepInDoubt,
    StepRejected,
    SuspendedError,
)
from saga.errors._caller import (
    ActRefusedError,
    BarrierError,
    IdReusedError,
    InvalidIdError,
    InvalidRequestError,
    KeyReusedError,
    OutsideSagaError,
    ParticipantError,
    PayloadTooLargeError,
    UnknownSagaError,
)
from saga.errors._platform import (
    EngineClosedError,
    ForeignJournalError,
    JournalCorruptError,
    JournalError,
    JournalLockedError,
    JournalOrderError,
    JournalReadOnlyError,
    JournalVersionError,
    JournalWriteError,
    MissingExtraError,
    OwnershipLostError,
)
from saga.errors._root import SagaError

__all__ = (
    "ActRefusedError",
    "BarrierError",
    "DecisionTimedOut",
    "EngineClosedError",
    "Fault",
    "ForeignJournalError",
    "IdReusedError",
    "InvalidIdError",
    "InvalidRequestError",
    "JournalCorruptError",
    "JournalError",
    "JournalLockedError",
    "JournalOrderError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "JournalWriteError",
    "KeyReusedError",
    "MissingExtraError",
    "NotDeterministicError",
    "NotDeterministicWarning",
    "OutsideSagaError",
    "OwnershipLostError",
    "ParticipantError",
    "PayloadTooLargeError",
    "ReplayMismatchError",
    "SagaAborted",
    "SagaCompensatedError",
    "SagaDefinitionError",
    "SagaError",
    "SagaStuckError",
    "StepInDoubt",
    "StepOrderError",
    "StepRejected",
    "SuspendedError",
    "UnknownSagaError",
)

for _name in __all__:
    globals()[_name].__module__ = __name__  # what people read in a traceback is what they import
