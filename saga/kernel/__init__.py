"""The rules, once: steps, saga class and its check, journal, deterministic loop, conductor, recovery."""

from saga.kernel._activity import Activity, Codec, activity_of, codec_of, participant
from saga.kernel._attempt import RECORDED, Attempt, attempt
from saga.kernel._conductor import Conductor
from saga.kernel._context import StepContext, current_step, maybe_current_step
from saga.kernel._decider import RESUME_LIMIT, Decider
from saga.kernel._definition import (
    DecisionDefinition,
    Definition,
    RoleDefinition,
    StepDefinition,
    definition_of,
)
from saga.kernel._diagram import class_diagram, instance_diagram, states_diagram
from saga.kernel._edge import PAYLOAD_LIMIT
from saga.kernel._facts import KERNEL_VERSION, Fact, SagaStarted, decode_fact, encode_fact
from saga.kernel._handle import Engine, Journals, SagaHandle, SagaSummary
from saga.kernel._handover import child_outcome, handed_over, not_started
from saga.kernel._instance import Instance
from saga.kernel._names import ID_LENGTH, action_key, call_name, check_id, child_id, role_name
from saga.kernel._pairing import show_type
from saga.kernel._payloads import size_of
from saga.kernel._policy import FOREVER, ONCE, Policy, Retry
from saga.kernel._records import CallRecord
from saga.kernel._replay import replay, resume
from saga.kernel._requests import Abort, Cancel, Decide, Request, Resolve, Skip, decode_request
from saga.kernel._requests import Retry as RetryRequest
from saga.kernel._runtime import Call, Outcome, Runtime
from saga.kernel._saga import Saga
from saga.kernel._steps import (
    Compensatable,
    CompensatableStep,
    Decision,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Runs,
    Step,
)
from saga.kernel._values import (
    AskAgain,
    CallState,
    DidNotHappen,
    Effect,
    Failure,
    Finding,
    Happened,
    Kind,
    Reason,
    Role,
    SagaState,
    Verdict,
)
from saga.kernel._view import ActView, CallView, DecisionView, SagaView, ending_of, view_of

__all__ = (
    "FOREVER",
    "ID_LENGTH",
    "KERNEL_VERSION",
    "ONCE",
    "PAYLOAD_LIMIT",
    "RECORDED",
    "RESUME_LIMIT",
    "Abort",
    "ActView",
    "Activity",
    "AskAgain",
    "Attempt",
    "Call",
    "CallRecord",
    "CallState",
    "CallView",
    "Cancel",
    "Codec",
    "Compensatable",
    "CompensatableStep",
    "Conductor",
    "Decide",
    "Decider",
    "Decision",
    "DecisionDefinition",
    "DecisionView",
    "Definition",
    "DidNotHappen",
    "Effect",
    "Engine",
    "Fact",
    "Failure",
    "Finding",
    "Happened",
    "Instance",
    "Journals",
    "Kind",
    "Nested",
    "Outcome",
    "Pivot",
    "Policy",
    "ReadOnly",
    "Reason",
    "Request",
    "Resolve",
    "Retriable",
    "Retry",
    "RetryRequest",
    "Role",
    "RoleDefinition",
    "Runs",
    "Runtime",
    "Saga",
    "SagaHandle",
    "SagaStarted",
    "SagaState",
    "SagaSummary",
    "SagaView",
    "Skip",
    "Step",
    "StepContext",
    "StepDefinition",
    "Verdict",
    "action_key",
    "activity_of",
    "attempt",
    "call_name",
    "check_id",
    "child_id",
    "child_outcome",
    "class_diagram",
    "codec_of",
    "current_step",
    "decode_fact",
    "decode_request",
    "definition_of",
    "encode_fact",
    "ending_of",
    "handed_over",
    "instance_diagram",
    "maybe_current_step",
    "not_started",
    "participant",
    "replay",
    "resume",
    "role_name",
    "show_type",
    "size_of",
    "states_diagram",
    "view_of",
)
