"""The last chapter: a file of transfers, carried out by worker processes that may be killed in between."""

from dataclasses import dataclass, field

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .batch import News
from .chapters import Stage
from .child import Child
from .transfers import Orders, read_transfers, resized
from .world import TRANSFERS

__all__ = ("BatchReport", "carry_out")

KILLS = 4


@dataclass(slots=True)
class BatchReport:
    """What became of a file.

    Attributes:
        orders: What was in it.
        acknowledged: Ids of the transfers whose start a worker acknowledged.
        ended: States of the transfers that ended.
        kills: How many workers were killed.
    """

    orders: Orders
    acknowledged: set[str] = field(default_factory=set[str])
    ended: dict[str, str] = field(default_factory=dict[str, str])
    kills: int = 0

    def note(self, news: News) -> None:
        """Take in what a worker tells."""
        if news.what == "acknowledged":
            self.acknowledged.add(news.id)
        elif news.what == "ended":
            self.ended[news.id] = news.text


async def carry_out(stage: Stage, *, rows: int, kill: bool) -> BatchReport:
    """Carry out the first rows of `transfers.csv`; above its length it begins again under new references."""
    path = stage.directory / "transfers.csv"
    path.write_text(resized(TRANSFERS, rows), encoding="utf-8")
    report = BatchReport(read_transfers(path))
    total = len(report.orders.accepted)
    kill_at = sorted({total * number // (KILLS + 1) for number in range(1, KILLS + 1)} - {0}) if kill else []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stage.console, disable=stage.console.quiet) as progress:
        bar = progress.add_task("transfers", total=total)
        while len(report.ended) < total:
            async with Child.running(stage.directory, path, stage.world.engines) as child:
                async for news in child.news():
                    report.note(news)
                    progress.update(bar, completed=len(report.ended))
                    if kill_at and len(report.ended) >= kill_at[0]:
                        del kill_at[0]
                        report.kills += 1
                        progress.update(bar, description=f"transfers, {report.kills} x SIGKILL")
                        await child.kill()
    return report
