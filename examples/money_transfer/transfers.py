"""Reads transfers from a CSV file: every row is either a transfer or refused with its line number."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ValidationError

from .models import Transfer

__all__ = ("Order", "Orders", "Refused", "count_rows", "read_transfers", "resized")

COLUMNS = ("reference", "source", "target", "amount", "owner")
_REFERENCE = re.compile(r"T-[0-9]{4,12}(-[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Order:
    """A row that can be carried out; its reference is the id of the saga.

    Attributes:
        line: Its line in the file, from 1.
        id: Its reference.
        transfer: What to do.
    """

    line: int
    id: str
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be carried out, and why.

    Attributes:
        line: Its line in the file, from 1.
        reason: What is wrong with it; all faults, one after the other.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Orders:
    """A file: accepted and refused together are all its rows."""

    accepted: tuple[Order, ...]
    refused: tuple[Refused, ...]


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        msg = "this is no reference, such as T-0042"
        raise ValueError(msg)
    return text


class _Row(BaseModel):
    reference: Annotated[str, AfterValidator(_reference)]
    transfer: Transfer


def read_transfers(path: Path) -> Orders:
    """Read a file. Nothing is started: what is wrong is known before any money moves.

    Raises:
        ValueError: if the file has other columns; then it is no list of transfers.
    """
    # A byte that is no UTF-8 spoils its own row, not the file.
    header, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if tuple(header.strip().split(",")) != COLUMNS:
        msg = f"{path.name}: the first line must be {','.join(COLUMNS)}"
        raise ValueError(msg)
    if lines and not lines[-1]:
        lines.pop()  # what ends the last line
    rows = list(_checked(lines))
    return Orders(
        tuple(row for row in rows if isinstance(row, Order)),
        tuple(row for row in rows if isinstance(row, Refused)),
    )


def _checked(lines: Iterable[str]) -> Iterator[Order | Refused]:
    first_seen: dict[str, int] = {}
    for line, text in enumerate(lines, start=2):
        row = _row(line, text)
        if isinstance(row, Order) and (first := first_seen.setdefault(row.id, line)) != line:
            row = Refused(line, f"reference: {row.id} was used on line {first}")
        yield row


def _row(line: int, text: str) -> Order | Refused:
    try:
        # One line at a time, so that a quote that nobody closes does not swallow the rest of the file.
        fields = next(csv.reader([text.rstrip("\r")], strict=True), list[str]())
        if len(fields) != len(COLUMNS):
            return Refused(line, f"it has {len(fields)} fields instead of {len(COLUMNS)}")
        reference, *rest = fields
        transfer = dict(zip(COLUMNS[1:], rest, strict=True))
        row = _Row.model_validate({"reference": reference, "transfer": transfer})
    except csv.Error as error:
        return Refused(line, f"it is no row of a CSV file: {error}")
    except ValidationError as error:
        return Refused(line, "; ".join(_faults(error)))
    return Order(line, row.reference, row.transfer)


def _faults(error: ValidationError) -> Iterator[str]:
    # Without what was typed in: the report may be seen by people who may not see the file.
    for fault in error.errors(include_input=False, include_url=False):
        place = fault["loc"][-1]
        text = fault["msg"].removeprefix("Value error, ")
        yield text if place == "transfer" else f"{place}: {text}"


def count_rows(path: Path) -> int:
    """Return how many rows a file has below its header."""
    return len(path.read_text(encoding="utf-8").splitlines()) - 1


def resized(path: Path, rows: int) -> str:
    """Return a file's text with exactly so many rows: cut off, or begun again under new references."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    made = [header]
    for number in range(rows):
        again, at = divmod(number, len(lines))
        reference, comma, rest = lines[at].partition(",")
        made.append(f"{reference}-{again + 1}{comma}{rest}" if again else lines[at])
    return "\n".join(made) + "\n"
