"""Text, durations and instants as people type and see them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from saga.cli._calls import called
from saga.cli._shape import fact_line
from saga.cli._text import duration_of, instant_of, printable, time_of_day
from saga.kernel import SagaStarted

NOW = datetime(2026, 3, 4, 10, 12, tzinfo=UTC)


@given(some.text())
def test_no_text_can_steer_a_terminal(text: str) -> None:
    """Whatever somebody wrote comes out printable and encodable."""
    assert printable(text).isprintable()
    printable(text).encode()
    assert printable(text, lines=True).replace("\n", "").isprintable()


@given(some.text(some.characters(categories=["L", "N", "P", "S"])))
def test_printable_text_stays(text: str) -> None:
    """Letters of every script, digits and signs are shown as they are."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("15m", 900), ("36h", 129_600), ("30d", 2_592_000), (" 2w ", 1_209_600)],
)
def test_durations(text: str, seconds: int) -> None:
    """A number and a unit."""
    assert duration_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "d", "30", "1.5h", "-1d", "1 d", "1y", "1h30m", "٣d", "1d\n2d"])
def test_what_is_no_duration(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no duration"):
        duration_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", datetime(2026, 3, 4, 8, 12, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T09:30", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01 09:30+02:00", datetime(2026, 3, 1, 7, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_instants(text: str, expected: datetime) -> None:
    """A time in the past, or a duration before now; UTC unless it says otherwise."""
    assert instant_of(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "now", "12:30", "0001-01-01T00:00+01:00"])
def test_what_is_no_instant(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"is no time|outside of the calendar"):
        instant_of(text, NOW)


def test_milliseconds_are_cut_not_rounded() -> None:
    """A time never shows a second that had not come."""
    assert time_of_day(NOW.replace(microsecond=999_999), day=False) == "10:12:00.999"
    assert time_of_day(NOW, day=True) == "2026-03-04 10:12:00.000"


@pytest.mark.parametrize(
    ("text", "call"),
    [("debit", "debit.1"), ("debit.12", "debit.12"), ("pay.2/debit", "pay.2/debit.1"), ("pay.1/ship.2/go.3",) * 2],
)
def test_calls(text: str, call: str) -> None:
    """The first use of a step needs no number; a nested saga's call has the calls before it."""
    assert called(text) == call


def test_a_step_may_be_named_like_a_role() -> None:
    """`probe` is a fine name for a step."""
    assert called("probe") == "probe.1"
    assert called("probe/probe", roles=True) == "probe.1"


def test_a_fact_stays_one_line_of_ascii_json() -> None:
    """A payload goes out digit by digit as it came in."""
    payload = '{"amount": 0.10000000000000000000001}'
    fact = SagaStarted(at=NOW, saga="S", id="s-1", payload=payload)
    line = fact_line(1, fact, payloads=True)
    assert line.startswith('{"seq":1,"at":"2026-03-04T10:12:00Z","fact":"SagaStarted"')
    assert line.endswith(f',"payload":{payload}}}')
    assert "payload" not in fact_line(1, fact, payloads=False)
