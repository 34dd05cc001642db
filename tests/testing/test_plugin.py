"""The pytest plugin: what every test of an application may ask for."""

from saga import ReadOnly, Saga
from saga.testing.plugin import MakeEngine


def add_one(number: int) -> int:
    """Adds one."""
    return number + 1


class Count(Saga):
    """Counts."""

    add = ReadOnly(add_one)

    async def run(self, number: int) -> int:
        """Adds one."""
        return await self.add(number)


async def test_engines_of_one_test_share_its_journal(saga_engine: MakeEngine) -> None:
    """A second engine finds what the first one did."""
    async with saga_engine(Count) as engine:
        assert await engine.run(Count, 41, id="one") == 42
    async with saga_engine(Count) as engine:
        assert [one.id async for one in engine.list()] == ["one"]
