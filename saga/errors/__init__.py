"""Every error of `saga`, one tree under `SagaError`, grouped by who has to act.

SagaError
├── author       SagaDefinitionError, StepOrderError, NotDeterministicError, ReplayMismatchError
├── business     StepRejected, StepInDoubt, SuspendedError, SagaAborted, DecisionTimedOut
├── outcome      SagaCompensatedError, SagaStuckError
├── caller       InvalidIdError, InvalidRequestError, IdReusedError, UnknownSagaError,
│                PayloadTooLargeError, ParticipantError, KeyReusedError, BarrierError,
│                OutsideSagaError, OutboxError, InboxError, KeyReleasedError
├── business     (of a participant) KeyLockedError, MessageError
├── operator     ActRefusedError
└── platform     JournalError (JournalWriteError, ForeignJournalError, JournalVersionError,
                 JournalReadOnlyError, JournalLockedError, JournalCorruptError,
                 JournalOrderError),
                 EngineClosedError, OwnershipLostError, MissingExtraError, ServerError, BrokerError
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
from saga.errors._messaging import (
    BrokerError,
    InboxError,
    KeyLockedError,
    KeyReleasedError,
    MessageError,
    OutboxError,
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
    ServerError,
)
from saga.errors._root import SagaError

__all__ = (
    "ActRefusedError",
    "BarrierError",
    "BrokerError",
    "DecisionTimedOut",
    "EngineClosedError",
    "Fault",
    "ForeignJournalError",
    "IdReusedError",
    "InboxError",
    "InvalidIdError",
    "InvalidRequestError",
    "JournalCorruptError",
    "JournalError",
    "JournalLockedError",
    "JournalOrderError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "JournalWriteError",
    "KeyLockedError",
    "KeyReleasedError",
    "KeyReusedError",
    "MessageError",
    "MissingExtraError",
    "NotDeterministicError",
    "NotDeterministicWarning",
    "OutboxError",
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
    "ServerError",
    "StepInDoubt",
    "StepOrderError",
    "StepRejected",
    "SuspendedError",
    "UnknownSagaError",
)

for _name in __all__:
    globals()[_name].__module__ = __name__  # what people read in a traceback is what they import
