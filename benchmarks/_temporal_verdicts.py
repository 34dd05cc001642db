"""The figures of the Temporal engine, read off its measurements."""

from __future__ import annotations

from ._arithmetic import median
from ._cells import HAND_WRITTEN_16, IN_FLIGHT, OURS_TEMPORAL_16, temporal_cells
from ._figures import Figure, Goal
from ._plan import histories, traced
from ._reading import Reading, Sources, compared


class TemporalVerdicts(Reading):
    """Reads the Temporal engine's figures off one run's measurements."""

    __slots__ = ()

    def sources(self) -> Sources:
        """Return what each figure is read from, by its id."""
        return {
            "P4": lambda goal: self._events(goal, "events"),
            "P4.compensated": lambda goal: self._events(goal, "events_compensated"),
            "P15": lambda goal: self._replays(goal, "replay_ms"),
            "P15.unsandboxed": lambda goal: self._replays(goal, "replay_ms_unsandboxed"),
            "M2": self._memory,
            **{f"P16.{number}": self._rate for number in IN_FLIGHT},
            **{f"P16.embedded.{number}": self._beside for number in IN_FLIGHT},
        }

    def _events(self, goal: Goal, what: str) -> Figure:
        job = histories(self.settings)
        return Figure(goal, self._answer(job, f"ours_{what}") - self._answer(job, f"hand_written_{what}"))

    def _replays(self, goal: Goal, what: str) -> Figure:
        job = histories(self.settings)
        return compared(goal, self._answers(job, f"ours_{what}"), self._answers(job, f"hand_written_{what}"))

    def _rate(self, goal: Goal) -> Figure:
        ours, theirs = temporal_cells(goal.id)
        return compared(goal, self._rates(ours), self._rates(theirs))

    def _beside(self, goal: Goal) -> Figure:
        ours, embedded = temporal_cells(goal.id)
        return Figure(goal, median(self._rates(embedded)) / median(self._rates(ours)))

    def _memory(self, goal: Goal) -> Figure:
        ours, theirs = (
            self._answer(traced(cell, self.settings), "kib_per_saga") for cell in (OURS_TEMPORAL_16, HAND_WRITTEN_16)
        )
        return Figure(goal, ours / theirs)
