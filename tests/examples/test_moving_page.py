"""The code on the page about moving to Temporal, on a real server; that the page runs at all is tested elsewhere."""

import asyncio
import re
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.test_docs_run import execute, python_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "move-to-temporal.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """The page writes its journal into an empty folder, and the event loop policy stays as it was."""
    monkeypatch.chdir(tmp_path)
    yield
    asyncio.set_event_loop(None)


def on_a_server(page: str, then: str, address: str) -> None:
    """Runs the blocks of a page and then some lines more, with ids and a task queue that nobody has used."""
    unique = uuid4().hex[:8]
    program = re.sub(r'"transfer(s|-\d+)"', rf'"{unique}-\1"', python_of(page) + then)
    execute(program.replace("ADDRESS", repr(address)), f"moving_{unique}")


def test_the_one_line_on_a_server(temporal_address: str) -> None:
    """The same saga moves the same amount, with its worker beside it, elsewhere, and with a codec."""
    then = """
client = await Client.connect(ADDRESS)
assert await after(client) == 60
assert await after(client) == 60
async with worker(client):
    assert await from_elsewhere(client) == 90
await check(client, "transfer-43")
assert banks["source"].accounts == {"NL-1": 10}
"""
    on_a_server(PAGE, then, temporal_address)


def test_a_codec_keeps_payloads_from_the_server(temporal_address: str) -> None:
    """The engine and its worker use the client's codec; whoever has none cannot read the request."""
    then = """
client = await connected(ADDRESS)
assert await after(client) == 60
history = await client.get_workflow_handle("transfer-43").fetch_history()
(sent,) = history.events[0].workflow_execution_started_event_attributes.input.payloads
assert (sent.metadata["encoding"], b"NL-1" in sent.data) == (b"binary/zlib", False)
"""
    on_a_server(PAGE, then, temporal_address)


def test_changed_code_is_refused_by_its_history(temporal_address: str) -> None:
    """A class that makes other calls than those that were made does not fit."""
    then = """
client = await Client.connect(ADDRESS)
assert await after(client) == 60


class Turned(Saga, name="MoneyTransfer"):
    debit = Compensatable(source.debit).compensated_by(source.refund)
    credit = Pivot(target.credit)

    async def run(self, transfer: Transfer) -> int:
        return await self.credit(transfer)


MoneyTransfer = Turned
try:
    await check(client, "transfer-43")
except Exception as error:
    refused = error
assert "debit.1" in str(refused), repr(refused)
"""
    on_a_server(PAGE, then, temporal_address)


def test_the_lines_of_readme_on_a_server(temporal_address: str) -> None:
    """What README calls the one line is one."""
    then = """
banks = {"source": Bank({"NL-1": 100}), "target": Bank({"DE-2": 0})}
client = await Client.connect(ADDRESS)
assert await on_temporal(client, Transfer(source="NL-1", target="DE-2", cents=30), banks) == 30
assert banks["source"].accounts == {"NL-1": 70}
"""
    on_a_server(README, then, temporal_address)
