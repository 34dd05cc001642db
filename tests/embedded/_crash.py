"""Finds every point at which a run can be cut short, cuts it short there, and starts again on the same file.

Points are not listed anywhere: a first run without faults passes them and writes them down. They are the points
of every write of the store, and the moment before and after the effect of every activity.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from saga import EmbeddedEngine
from saga.errors import EngineClosedError, JournalError
from saga.kernel import Fact, Instance, decode_fact
from saga.kernel import _facts as f
from saga.kernel._names import action_key, role_name, split_role
from tests.embedded._machine import Machine, PowerLossError, running_on
from tests.embedded._shop import Shop

Script = Callable[[EmbeddedEngine, "World"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Topology:
    """What is run.

    Attributes:
        name: For the report.
        sagas: The saga classes.
        script: What a client does; after a crash it does the same again, with the same ids.
        prepare: Tells the participant how to behave.
        effects: What is left in the end: keys of actions that happened and were not taken back.
        engines: How many engines run side by side.
    """

    name: str
    sagas: tuple[type, ...]
    script: Script
    effects: frozenset[str]
    prepare: Callable[[Shop], None] = lambda _shop: None
    engines: int = 1


@dataclass
class World:
    """What outlives a crash: the journal's file, the participant, and what the client was told."""

    topology: Topology
    file: Path
    shop: Shop = field(default_factory=Shop)
    acknowledged: set[str] = field(default_factory=set)
    state: dict[str, Any] = field(default_factory=dict)
    others: list[EmbeddedEngine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topology.prepare(self.shop)

    @property
    def url(self) -> str:
        """Of the journal."""
        return f"sqlite:///{self.file}"

    async def live(self, machine: Machine) -> bool:
        """Run the script on a new engine; tell whether it came to its end."""
        self.shop.at = machine.effect
        self.others = []
        with running_on(machine):
            try:
                async with asyncio.timeout(20), self._engine() as engine:
                    if self.topology.engines == 1:
                        await self.topology.script(engine, self)
                    else:
                        async with self._engine() as other:
                            self.others = [other]
                            await self._until_dead(machine, self.topology.script(engine, self))
            except (JournalError, EngineClosedError, PowerLossError):
                return False
        return not machine.dead

    @staticmethod
    async def _until_dead(machine: Machine, script: Awaitable[None]) -> None:
        """One engine may wait for the other, which does not know yet that the machine is gone."""
        running = asyncio.ensure_future(script)
        while not machine.dead and not running.done():
            await asyncio.wait([running], timeout=0.01)
        if not running.done():
            running.cancel()
            raise PowerLossError("the machine is gone")
        await running

    def _engine(self) -> EmbeddedEngine:
        return EmbeddedEngine(
            self.url,
            sagas=self.topology.sagas,
            participants={"shop": self.shop},
            grace=timedelta(0),
        )

    def age(self) -> None:
        """Let the lease of every owner pass."""
        with sqlite3.connect(self.file) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'saga_owners'").fetchone():
                connection.execute("UPDATE saga_owners SET beat_at = 0")
        connection.close()

    def journals(self) -> dict[str, tuple[tuple[Any, ...], list[tuple[int, Fact]]]]:
        """Row and facts of every instance, as the file holds them."""
        with sqlite3.connect(self.file) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'saga_facts'").fetchone():
                return {}
            rows = connection.execute("SELECT id, number, state, ended_at, owner FROM saga_instances").fetchall()
            found = {
                row[0]: (
                    row,
                    [
                        (seq, decode_fact(body, payload))
                        for seq, body, payload in connection.execute(
                            "SELECT seq, body, payload FROM saga_facts WHERE number = ? ORDER BY seq", (row[1],)
                        )
                    ],
                )
                for row in rows
            }
        connection.close()
        return found


Journals = dict[str, tuple[tuple[Any, ...], list[tuple[int, Fact]]]]


def check_order(journals: Journals) -> None:
    """Every journal has its facts without gap, they make sense, and the instance's row agrees with them."""
    for id, (row, facts) in journals.items():
        assert [seq for seq, _ in facts] == list(range(1, len(facts) + 1)), id
        instance = Instance().fold_all([fact for _, fact in facts])
        assert instance.state is not None
        assert row[2] == instance.state.value, (id, row, instance.state)
        assert (row[3] is not None) == instance.ended, (id, row, instance.state)
        assert not instance.ended or row[4] == "", (id, row)


def recorded(journals: Journals) -> set[str]:
    """Keys of everything whose end is in a journal; none of them may ever be performed again."""
    keys = set()
    for id, (_, facts) in journals.items():
        for _, fact in facts:
            if isinstance(fact, f.CallDone):
                call, role = split_role(fact.call)
                keys.add(role_name(action_key(id, call), role))
    return keys


def check_kept(before: Journals, after: Journals) -> None:
    """What was durable is still there, as it was; what had ended has not changed at all."""
    for id, (row, facts) in before.items():
        assert id in after, f"{id} was durable and is lost"
        assert after[id][1][: len(facts)] == facts, id
        if row[3] is not None:
            assert after[id] == (row, facts), f"{id} had ended and has changed"


def check_end(world: World, *, told_before: set[str]) -> None:
    """Nothing that was acknowledged is lost, all has ended, and the effects are those that there should be."""
    after = world.journals()
    check_order(after)
    assert told_before <= set(after), "an acknowledged instance is lost"
    assert all(row[3] is not None for row, _ in after.values()), "an instance has not ended"
    assert world.shop.effects == dict.fromkeys(world.topology.effects, 1), world.shop.deliveries


def scenario(topology: Topology, folder: Path, template: Path | None, *faults: tuple[str, int]) -> Story:
    """Run a topology through one life for each fault, then until it has come to its end; check all the while."""
    world = World(topology, _fresh(folder, template))
    story = Story()
    for fault, at in faults:
        machine = Machine(fault, at)
        alive = asyncio.run(world.live(machine))
        story.lives.append(machine)
        if machine.failed_at is None or (alive and not machine.dead):
            continue
        _crashed(world, machine, story)
    before, told_before = world.journals(), set(world.acknowledged)
    _finish(world, story)
    check_kept(before, world.journals())
    check_end(world, told_before=told_before | world.acknowledged)
    return story


def _crashed(world: World, machine: Machine, story: Story) -> None:
    durable = world.journals()
    check_order(durable)
    assert world.acknowledged <= set(durable), "an acknowledged instance is lost"
    story.done |= recorded(durable)
    story.deliveries = len(world.shop.deliveries)
    if machine.dead:
        world.age()


def _finish(world: World, story: Story) -> None:
    last = Machine()
    assert asyncio.run(world.live(last)), "the last life has no fault, and did not come to its end"
    story.lives.append(last)
    again = story.done & set(world.shop.deliveries[story.deliveries :])
    assert again == set(), f"recorded, and performed again: {again}"
    story.repeated = bool(world.shop.repeated)


@dataclass
class Story:
    """What happened in a scenario."""

    lives: list[Machine] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    deliveries: int = 0
    repeated: bool = False


def _fresh(folder: Path, template: Path | None) -> Path:
    for old in folder.glob("journal.db*"):
        old.unlink()
    file = folder / "journal.db"
    if template is not None:
        shutil.copyfile(template, file)
        file.chmod(0o600)
    return file
