"""What the demo found out: tables for people, one document for programs."""

from collections import Counter

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .batch_chapter import BatchReport
from .proof import Proof
from .transfers import Refused

__all__ = ("Chapter", "Report", "show_batch", "show_proof")

SHOWN = 40
"""How many refused rows a person is shown."""


class Chapter(BaseModel):
    """What one chapter showed: its title, and how its transfers ended."""

    model_config = ConfigDict(frozen=True)

    title: str
    states: dict[str, str]


class Report(BaseModel):
    """What the demo did, for programs.

    Attributes:
        engine: Which engine carried everything out.
        rows: Rows of the file.
        accepted: How many of them were carried out.
        refused: The others, with their line numbers.
        states: How many of the accepted ones ended in which state.
        kills: How many worker processes were killed while they carried the file out.
        chapters: What the chapters before it showed.
        seconds: How long everything took.
        holds: Whether every cent is accounted for.
        proof: What the auditor found in all of it.
    """

    model_config = ConfigDict(frozen=True)

    engine: str
    rows: int
    accepted: int
    refused: tuple[Refused, ...]
    states: dict[str, int]
    kills: int
    chapters: tuple[Chapter, ...]
    seconds: float
    holds: bool
    proof: Proof


def show_batch(console: Console, batch: BatchReport) -> None:
    """Show what became of every row of the file."""
    accepted, refused = batch.orders.accepted, batch.orders.refused
    ended = ", ".join(f"{count} {state}" for state, count in sorted(Counter(batch.ended.values()).items()))
    console.print(f"{len(accepted) + len(refused)} rows = {len(accepted)} carried out ({ended or 'none'})")
    console.print(f"       + {len(refused)} refused before anything was written")
    if not refused:
        return
    table = Table("line", "why", box=None, padding=(0, 2), header_style="dim")
    for one in refused[:SHOWN]:
        table.add_row(str(one.line), Text(one.reason))
    console.print(table)
    if len(refused) > SHOWN:
        console.print(f"  and {len(refused) - SHOWN} more, which --json lists")


def show_proof(console: Console, proof: Proof) -> None:
    """Show what the auditor found."""
    sentences = {
        "sum over all accounts before": f"{proof.before:,.2f} EUR",
        "sum over all accounts after": f"{proof.after:,.2f} EUR",
        **{f"transfers {state}": str(count) for state, count in sorted(proof.states.items())},
        "ledger lines, one for each effect": str(proof.postings),
        "calls made more than once, acted once": str(proof.repeated),
        "letters asked for more than once, sent once": str(proof.letters_repeated),
    }
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, value in sentences.items():
        table.add_row(name, value)
    console.print(table)
    for fault in proof.faults:
        console.print(Text(fault, style="red"))
    console.print(_verdict(proof))


def _verdict(proof: Proof) -> str:
    if proof.holds:
        return "[bold green]The proof holds: each transfer exactly once, every cent accounted for."
    return f"[bold red]The proof fails: {len(proof.faults)} faults."
