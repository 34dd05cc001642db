"""Text as a terminal may show it: nothing in a journal can move the cursor or change colours."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

__all__ = (
    "NO_TEXT",
    "day_and_time",
    "duration_of",
    "instant_of",
    "is_text",
    "place_of",
    "plain",
    "printable",
    "time_of_day",
    "with_places",
)

NO_TEXT: Final = "it holds bytes that are not UTF-8; type it in the encoding of this terminal"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_DURATION = re.compile(r"([0-9]{1,12})([smhdw])")
_FRAME = re.compile(r'^(\s*File ")([^"\n]+)(", line [0-9]+)', re.MULTILINE)
_LONGEST = timedelta(days=36_525)
_PYDANTIC = re.compile(r"\b(?:Value error|Assertion failed), ")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with everything that is no printable character written as an escape.

    Args:
        text: Any text, such as the message of an exception.
        lines: Whether line ends stay.

    Example:
        >>> printable("frozen\x1b[2J")
        'frozen\\x1b[2J'
    """
    kept = "\n" if lines else ""
    return "".join(one if one.isprintable() or one in kept else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def is_text(text: str) -> bool:
    r"""Tell whether all of `text` is text: the system hands over other bytes as halves of characters.

    Example:
        >>> is_text("caf\u00e9"), is_text("caf\udce9")
        (True, False)
    """
    return not any("\ud800" <= one <= "\udfff" for one in text)


def plain(text: str) -> str:
    """Return a message without what pydantic puts before the words of whoever refused a value.

    Example:
        >>> plain("answer: Value error, must be positive")
        'answer: must be positive'
    """
    return _PYDANTIC.sub("", text)


def place_of(file: str) -> str:
    """Return the path of a file as people name it: from this folder, if it lies beneath it.

    Example:
        >>> place_of(str(Path.cwd() / "shop" / "sagas.py")), place_of("/nowhere/sagas.py")
        ('shop/sagas.py', '/nowhere/sagas.py')
    """
    try:
        return Path(file).relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):  # it lies elsewhere, or this folder is gone
        return file


def with_places(text: str) -> str:
    """Return text whose lines of a traceback name files as `place_of` does."""
    return _FRAME.sub(lambda found: f"{found[1]}{place_of(found[2])}{found[3]}", text)


def duration_of(text: str) -> timedelta:
    """Return a duration such as `90s`, `15m`, `12h`, `30d` or `2w`.

    Raises:
        ValueError: if it is none.

    Example:
        >>> duration_of("36h")
        datetime.timedelta(days=1, seconds=43200)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write a number with s, m, h, d or w, such as 30d")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


def instant_of(text: str, now: datetime) -> datetime:
    """Return an instant: ISO 8601, UTC where it names no zone, or a duration before `now`.

    Raises:
        ValueError: if it is none.

    Example:
        >>> instant_of("2026-03-04 10:12", datetime.now(UTC)).isoformat()
        '2026-03-04T10:12:00+00:00'
    """
    if _DURATION.fullmatch(text.strip()):
        return now - duration_of(text)
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2026-03-04, 2026-03-04T10:12 or, for two hours ago, 2h") from None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside of the calendar") from None


def day_and_time(at: datetime) -> str:
    """Return an instant to the second, in UTC, without saying so."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def time_of_day(at: datetime, *, day: bool) -> str:
    """Return an instant to the millisecond, in UTC, with its day if that is needed."""
    shown = at.astimezone(UTC)
    return f"{shown:{'%Y-%m-%d %H:%M:%S' if day else '%H:%M:%S'}}.{shown.microsecond // 1000:03}"
