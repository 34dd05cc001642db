"""The rules, once: steps, saga class and its check, journal, deterministic loop, conductor, recovery."""

from saga.kernel import _facts as facts
from saga.kernel._activity import Activity, activity_of, participant, resolved_hints
from saga.kernel._attempt import RECORDED, Attempt, attempt, retry_after
from saga.kernel._beginnings import first_fact, never_started
from saga.kernel._codec import Codec, codec_of
from saga.kernel._compensatable import Compensatable, CompensatableStep
from saga.kernel._conductor import Conductor
from saga.kernel._context import StepContext, current_step, maybe_current_step
from saga.kernel._decider import RESUME_LIMIT, Decider
from saga.kernel._declared import Decision, Step
from saga.kernel._definition import (
    DecisionDefinition,
    Definition,
    RoleDefinition,
    StepDefinition,
    definition_of,
)
from saga.kernel._diagram import class_diagram, instance_diagram, states_diagram
from saga.kernel._edge import PAYLOAD_LIMIT, check_start
from saga.kernel._endings import CODE_FAULTS
from saga.kernel._engine import Engine, Journals, SagaSummary
from saga.kernel._facts import KERNEL_VERSION, Fact, SagaStarted, decode_fact, encode_fact
from saga.kernel._handle import SagaHandle
from saga.kernel._handover import child_outcome, entry_of, handed_over, not_started
from saga.kernel._instance import Instance
from saga.kernel._listing import check_list
from saga.kernel._loop import DeterministicLoop
from saga.kernel._names import (
    ID_LENGTH,
    LONGEST_NAME,
    LONGEST_REASON,
    action_key,
    call_name,
    check_id,
    child_id,
    role_name,
    split_role,
    step_of,
)
from saga.kernel._outcomes import fact_of
from saga.kernel._page import positional
from saga.kernel._pairing import show_type
from saga.kernel._participants import definitions_of, function_of, missing_participants
from saga.kernel._payloads import handover_payload, size_of, taken_over
from saga.kernel._policy import FOREVER, NEVER, ONCE, Policy, Retry, time_faults
from saga.kernel._records import CallRecord
from saga.kernel._replay import replay, resume
from saga.kernel._requests import (
    PARENT_STOPS,
    Abort,
    Cancel,
    Decide,
    Request,
    Resolve,
    Skip,
    admit,
    decode_request,
    stopped_by_parent,
)
from saga.kernel._requests import Retry as RetryRequest
from saga.kernel._runtime import Call, Outcome, Runtime
from saga.kernel._saga import Saga
from saga.kernel._steps import Nested, Pivot, ReadOnly, Retriable, Runs
from saga.kernel._values import (
    NOT_STARTED,
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
    "CODE_FAULTS",
    "FOREVER",
    "ID_LENGTH",
    "KERNEL_VERSION",
    "LONGEST_NAME",
    "LONGEST_REASON",
    "NEVER",
    "NOT_STARTED",
    "ONCE",
    "PARENT_STOPS",
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
    "DeterministicLoop",
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
    "admit",
    "attempt",
    "call_name",
    "check_id",
    "check_list",
    "check_start",
    "child_id",
    "child_outcome",
    "class_diagram",
    "codec_of",
    "current_step",
    "decode_fact",
    "decode_request",
    "definition_of",
    "definitions_of",
    "encode_fact",
    "ending_of",
    "entry_of",
    "fact_of",
    "facts",
    "first_fact",
    "function_of",
    "handed_over",
    "handover_payload",
    "instance_diagram",
    "maybe_current_step",
    "missing_participants",
    "never_started",
    "not_started",
    "participant",
    "positional",
    "replay",
    "resolved_hints",
    "resume",
    "retry_after",
    "role_name",
    "show_type",
    "size_of",
    "split_role",
    "states_diagram",
    "step_of",
    "stopped_by_parent",
    "taken_over",
    "time_faults",
    "view_of",
)
