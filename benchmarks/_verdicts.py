"""The figures of the embedded engine, read off its measurements."""

from __future__ import annotations

from ._arithmetic import best_per_round, median, ratios
from ._cells import (
    BARE_64,
    DBOS_1,
    DBOS_AS_SHIPPED_1,
    DBOS_POSTGRES_1,
    OURS_1,
    OURS_8,
    OURS_64,
    OURS_POSTGRES_1,
    OURS_POSTGRES_64,
    Cell,
    Database,
    Engine,
)
from ._figures import Figure, Goal
from ._payload import PAYLOADS_PER_SAGA
from ._plan import Counting, jittered, one_at_a_time, recovery, weighed
from ._reading import Reading, Sources, UnmeasuredError


class Verdicts(Reading):
    """Reads the embedded engine's figures off one run's measurements."""

    __slots__ = ()

    def sources(self) -> Sources:
        """Return what each figure is read from, by its id."""
        alone, crowd = one_at_a_time(self.settings), jittered(self.settings)
        payload_bytes = PAYLOADS_PER_SAGA * self.settings.payload_bytes
        return {
            "P1": lambda goal: Figure(goal, self._count(alone, "flushes_per_saga")),
            "P2": lambda goal: Figure(goal, self._count(crowd, "flushes_per_saga")),
            "P3": lambda goal: Figure(goal, self._count(alone, "statements_per_saga")),
            "P5": lambda goal: Figure(goal, self._count(alone, "journal_bytes_per_saga") / payload_bytes),
            "P6": lambda goal: self._against(goal, OURS_1, (DBOS_1,)),
            "P7": lambda goal: self._against(goal, OURS_64, self._peers(Database.SQLITE)),
            "P9.1": lambda goal: self._against(goal, OURS_POSTGRES_1, (DBOS_POSTGRES_1,)),
            "P9.64": lambda goal: self._against(goal, OURS_POSTGRES_64, self._peers(Database.POSTGRES)),
            "P10": lambda goal: self._against(goal, OURS_64, (BARE_64,)),
            "P11": self._spread,
            "P13": lambda goal: self._against(goal, OURS_1, (DBOS_AS_SHIPPED_1,)),
            "P14": lambda goal: Figure(goal, self._recovery("raw", "scan")),
            "P14.replay": lambda goal: Figure(goal, self._recovery("raw", "replay")),
            "P14.growth": lambda goal: Figure(goal, self._recovery("opened_beside_completed", "opened")),
            "P20": self._cold_start,
            "M1": lambda goal: Figure(goal, self._answer(weighed(OURS_64, self.settings), "kib_per_saga")),
        }

    def _against(self, goal: Goal, ours: Cell, peers: tuple[Cell, ...]) -> Figure:
        """Compare our cell with the best of the peer's, round by round."""
        if not peers:
            raise UnmeasuredError("no cell of the peer was measured")
        mine, theirs = self._rates(ours), [self._rates(peer) for peer in peers]
        for peer in peers:
            self._as_durable(ours, peer)
        per_round = ratios(mine, best_per_round(theirs))
        return Figure(goal, median(per_round), self._missing(peers[0]), per_round)

    def _spread(self, goal: Goal) -> Figure:
        per_round = tuple(r.p99_ms / r.p50_ms for r in self._rounds(OURS_8))
        return Figure(goal, median(per_round), rounds=per_round)

    def _cold_start(self, goal: Goal) -> Figure:
        ours, theirs = (self._cold(engine) for engine in ("ours", "dbos"))
        return Figure(goal, median(ours) / median(theirs), rounds=ratios(ours, theirs))

    def _as_durable(self, ours: Cell, peer: Cell) -> None:
        mine, theirs = self.results.durability[ours], self.results.durability[peer]
        if mine.level < max(theirs.level, 2):
            raise UnmeasuredError(f"not comparable: ours {mine.words}, {peer.name} {theirs.words}")

    def _peers(self, database: Database) -> tuple[Cell, ...]:
        """Return the peer's cells that gave rounds; a contender that failed cannot win."""
        return tuple(
            cell
            for cell, rounds in self.results.rounds.items()
            if cell.engine is Engine.DBOS and cell.database is database and rounds
        )

    def _missing(self, like: Cell) -> str | None:
        """Name the contenders that gave nothing, which a reader has to know."""
        failed = [
            cell.name
            for cell in self.results.failures
            if isinstance(cell, Cell) and (cell.engine, cell.database) == (like.engine, like.database)
        ]
        return f"without {', '.join(failed)}, which failed" if failed else None

    def _count(self, counting: Counting, what: str) -> float:
        if what not in (counts := self.results.counts.get(counting, {})):
            raise UnmeasuredError(self._why(counting))
        return counts[what]

    def _recovery(self, part: str, whole: str) -> float:
        job = recovery(self.settings)
        return self._answer(job, part) / self._answer(job, whole)

    def _cold(self, engine: str) -> list[float]:
        if not (seconds := self.results.cold.get(engine)):
            raise UnmeasuredError(f"{engine}: {self._why(engine)}")
        return seconds
