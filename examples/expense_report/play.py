"""Plays the script on an engine: reports are handed in, people decide, and the auditor looks at everything."""

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from examples.money_transfer.engines import ServerMissingError, Temporal, prepare
from saga import Engine, SagaCompensatedError, SagaHandle, SagaView

from .faults import AnswersGetLost
from .models import Reimbursement, Ruling
from .proof import Proof, prove
from .saga import ExpenseReport
from .script import CASES, Case, Said
from .world import World

__all__ = ("Outcome", "Played", "main", "play")

INTERRUPTED = 130
NOBODY_READS = 141


class Outcome(BaseModel):
    """How a report ended."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    state: str
    ends_as_expected: bool
    decisions: int


class Played(BaseModel):
    """What was played, for programs.

    Attributes:
        engine: Which engine carried it out.
        reports: How each report ended.
        seconds: How long everything took.
        holds: Whether every report ended as it had to, and every cent is accounted for.
        proof: What the auditor found.
    """

    model_config = ConfigDict(frozen=True)

    engine: str
    reports: tuple[Outcome, ...]
    seconds: float
    holds: bool
    proof: Proof


def main(*, as_json: bool, directory: str | None, server: str | None) -> int:
    """Play the script.

    Args:
        as_json: Print one JSON document instead of the story.
        directory: Where the databases are kept, an empty or new folder; None for a temporary one.
        server: Address of a Temporal server, to run on its engine; None for the embedded one.

    Returns:
        0 if the proof holds, 1 if it does not, 2 if the arguments do not allow a run, 130 if it was interrupted,
        141 if whoever read its output went away.
    """
    try:
        if server is not None:
            prepare()
        with _folder(directory) as name:
            engines = None if server is None else Temporal(server, f"expenses-{secrets.token_hex(3)}")
            with World.at(Path(name), engines, payroll=AnswersGetLost) as world:
                world.begin()
                played = asyncio.run(play(world, _silence if as_json else _tell))
        print(played.model_dump_json(indent=2) if as_json else _summary(played), flush=True)
    except (ServerMissingError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still writes at its end
            return NOBODY_READS
        return _refuse(str(error), as_json=as_json)
    except KeyboardInterrupt:
        return _refuse("interrupted", as_json=as_json, code=INTERRUPTED)
    return 0 if played.holds else 1


async def play(world: World, tell: Callable[[str], None]) -> Played:
    """Hand in every report, say what the script says, and prove the sums."""
    began = time.perf_counter()
    async with world.engine() as engine:
        tell("On Friday every report is handed in, and who is asked first answers.")
        for case in CASES:
            handle = await _handed_in(engine, world, case)
            for one in case.said[:1]:
                await one.to(handle)
    tell("Over the weekend nothing runs. On Monday another engine goes on where the journals end.")
    async with world.engine() as engine:
        views = [await _end(await _handed_in(engine, world, case), case, tell) for case in CASES]
    outcomes = tuple(_outcome(case, view) for case, view in zip(CASES, views, strict=True))
    proof = prove(world, views)
    return Played(
        engine=world.engines.name,
        reports=outcomes,
        seconds=round(time.perf_counter() - began, 1),
        holds=proof.holds and all(one.ends_as_expected for one in outcomes),
        proof=proof,
    )


async def _handed_in(engine: Engine, world: World, case: Case) -> SagaHandle[Reimbursement]:
    """Start a report; where it was started before, this is its handle."""
    return await engine.start(ExpenseReport, case.report, id=world.id_of(case.name))


async def _end(handle: SagaHandle[Reimbursement], case: Case, tell: Callable[[str], None]) -> SagaView:
    for one in case.said[1:]:
        await one.to(handle)
    try:
        told = f"paid: {await handle.result()}"
    except SagaCompensatedError as error:
        told = str(error)
    tell("\n".join(["", case.title, *(f"  {_words(one)}" for one in case.said), f"  {told}"]))
    return await handle.view()


def _words(said: Said) -> str:
    if isinstance(said.answer, Ruling):
        return f"{said.name}: {said.answer.answer}{f' ({said.answer.reason})' if said.answer.reason else ''}"
    return f"{said.name}: {said.answer.lines[0].what}, {said.answer.total} EUR"


def _outcome(case: Case, view: SagaView) -> Outcome:
    return Outcome(
        id=view.id,
        title=case.title,
        state=view.state.value,
        ends_as_expected=view.state is case.ends,
        decisions=len(view.decisions),
    )


# -- telling -----------------------------------------------------------------------------


def _tell(text: str) -> None:
    print(text, flush=True)


def _silence(_: str) -> None:
    """Tell nobody."""


def _summary(played: Played) -> str:
    proof = played.proof
    lines = [
        "",
        "The proof.",
        f"  sum over all accounts before           {proof.before:>14,.2f} EUR",
        f"  sum over all accounts after            {proof.after:>14,.2f} EUR",
        f"  paid to employees                      {proof.paid:>14,.2f} EUR",
        f"  charged to budgets                     {proof.spent:>14,.2f} EUR",
        f"  calls made more than once, acted once  {proof.repeated:>11}",
        *(f"  FAULT: {fault}" for fault in proof.faults),
        *(f"  FAULT: {one.id} is {one.state}" for one in played.reports if not one.ends_as_expected),
        "The proof holds: every cent is accounted for." if played.holds else "The proof fails.",
    ]
    return "\n".join(lines)


def _folder(directory: str | None) -> AbstractContextManager[str]:
    if directory is None:
        return tempfile.TemporaryDirectory(prefix="saga-expenses-")
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        msg = f"{directory} is not empty; give an empty folder or a new one"
        raise FileExistsError(msg)
    return nullcontext(directory)


def _refuse(reason: str, *, as_json: bool, code: int = 2) -> int:
    name = "Interrupted" if code == INTERRUPTED else "UsageError"
    told = json.dumps({"error": {"type": name, "message": reason, "exit_code": code}})
    print(told if as_json else reason, file=sys.stderr)
    return code
