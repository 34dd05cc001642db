"""Generated sagas hold every rule under every fault: programs that nobody would think of."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, note, settings

from saga.testing import explore
from tests.testing.programs import sagas
from tests.testing.sagas import all_or_nothing, shelves

EXAMPLES: Final = int(os.environ.get("SAGA_TEST_GENERATED", "60"))
"""How many sagas are generated; a longer run finds more: `SAGA_TEST_GENERATED=5000`."""
SCENARIOS: Final = 40
"""How many scenarios of each are run."""


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(sagas())
def test_every_rule_holds_for_generated_sagas(generated: tuple[Any, str]) -> None:
    """Steps of every kind, at once, raced, limited, tried, left; nested, decided, confirmed, forgotten."""
    saga, program = generated
    note(program)
    answers = {saga.ask: [True, False]}
    options: dict[str, Any] = {"participants": shelves, "decisions": answers, "invariant": all_or_nothing}
    report = asyncio.run(explore(saga, 3, **options, limit=SCENARIOS, seed=len(program)))
    assert report.scenarios == SCENARIOS
