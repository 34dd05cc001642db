"""The auditor: compares what the journal says with what the banks' ledgers hold, cent by cent."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from saga import Engine, SagaState, SagaView
from saga.errors import UnknownSagaError

from .bank import LedgerLine
from .models import Transfer
from .saga import MoneyTransfer
from .world import World

__all__ = ("BY_HAND", "Proof", "prove")

BY_HAND = "debit.1/by-hand"
"""How a clerk's refund is told from the bank's own, behind the id of the transfer."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the auditor found.

    Attributes:
        before: Sum over all accounts of both banks when they were opened, in euros.
        after: The sum now.
        states: How many transfers are in which state.
        postings: How many ledger lines there are.
        repeated: How many calls were made more than once, and yet acted once.
        letters_repeated: How many letters were asked for more than once, and yet sent once.
        faults: Everything that is not as it must be.
    """

    before: Decimal
    after: Decimal
    states: Mapping[str, int]
    postings: int
    repeated: int
    letters_repeated: int
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every cent is accounted for."""
        return not self.faults


async def prove(world: World, engine: Engine, *, acknowledged: Iterable[str] = ()) -> Proof:
    """Compare journal and ledgers.

    Args:
        world: The banks.
        engine: An engine that knows the transfers.
        acknowledged: Ids of transfers whose start was acknowledged to somebody; none may be missing.
    """
    # The list of a Temporal server may lag behind, so what was acknowledged is asked for by its id.
    listed = {one.id async for one in engine.list(saga=MoneyTransfer, id_prefix=world.engines.prefix)}
    found = {id: await _view(engine, id) for id in sorted({*listed, *acknowledged})}
    views = [view for view in found.values() if view is not None]
    lines = [*world.north.ledger(), *world.south.ledger()]
    letters = world.mail.letters()
    before = world.north.opening_total() + world.south.opening_total()
    after = world.north.total() + world.south.total()
    faults = [
        *_faults_of_sums(world, before, after),
        *_faults_of_transfers(views, lines, letters),
        *(f"{id} was acknowledged and is lost" for id, view in found.items() if view is None),
    ]
    return Proof(
        before=before,
        after=after,
        states=Counter(view.state.value for view in views),
        postings=len(lines),
        repeated=sum(call.attempts > 1 for view in views for call in view.calls),
        letters_repeated=sum(asked > 1 for asked in letters.values()),
        faults=tuple(faults),
    )


async def _view(engine: Engine, id: str) -> SagaView | None:
    try:
        return await (await engine.get(MoneyTransfer, id)).view()
    except UnknownSagaError:
        return None


def _faults_of_sums(world: World, before: Decimal, after: Decimal) -> Iterator[str]:
    if before != after:
        yield f"the accounts held {before} EUR before and hold {after} EUR after"
    for number in (*world.north.unbalanced(), *world.south.unbalanced()):
        yield f"the balance of {number} is not what its ledger lines come to"


def _faults_of_transfers(
    views: Sequence[SagaView], lines: Iterable[LedgerLine], letters: Mapping[str, int]
) -> Iterator[str]:
    effects: defaultdict[str, list[LedgerLine]] = defaultdict(list)
    for line in lines:
        effects[line.key].append(line)
    for view in views:
        yield from _faults_of(view, effects, letters)
    known = {view.id for view in views}
    for key in (*effects, *letters):
        if key.partition("/")[0] not in known:
            yield f"{key} belongs to no transfer"


def _faults_of(
    view: SagaView, effects: Mapping[str, Sequence[LedgerLine]], letters: Mapping[str, int]
) -> Iterator[str]:
    if not view.state.ended:
        yield f"{view.id} is {view.state.value}"
        return
    transfer = Transfer.model_validate_json(view.request)
    completed = view.state is SagaState.COMPLETED
    debited = effects.get(f"{view.id}/debit.1", ())
    refunded = [line for key in ("debit.1/compensation", BY_HAND) for line in effects.get(f"{view.id}/{key}", ())]
    credited = effects.get(f"{view.id}/credit.1", ())
    wanted = {
        # Of a transfer that was compensated: whatever was taken was given back, and nobody got it.
        "debits": (debited, 1 if completed else min(len(debited), 1), transfer.source, -transfer.amount),
        "refunds": (refunded, 0 if completed else len(debited), transfer.source, transfer.amount),
        "credits": (credited, 1 if completed else 0, transfer.target, transfer.amount),
    }
    for name, (found, count, account, amount) in wanted.items():
        if len(found) != count:
            yield f"{view.id} is {view.state.value} and has {len(found)} {name} instead of {count}"
        if any(line.account != account or line.amount != amount for line in found):
            yield f"{view.id} has {name} of another amount or account"
    if (f"{view.id}/notify.1" in letters) is not completed:
        yield f"{view.id} is {view.state.value} and has {'no letter' if completed else 'a letter'}"
