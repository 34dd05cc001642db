"""Bad input gets a clear error, and nothing is lost: every row is carried out or refused with its line."""

import csv
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from examples.money_transfer.models import AccountNumber
from examples.money_transfer.transfers import COLUMNS, Orders, count_rows, read_transfers, resized
from examples.money_transfer.world import ACCOUNTS, TRANSFERS

GOOD = "T-0001,XN26NORD00000001,XS15SUED00000001,12.50,bakery.1@example.org"


def read(tmp_path: Path, *rows: str) -> Orders:
    """Read a file of these rows."""
    path = tmp_path / "transfers.csv"
    path.write_bytes("\n".join([",".join(COLUMNS), *rows, ""]).encode("utf-8", "surrogateescape"))
    return read_transfers(path)


def with_field(name: str, value: str) -> str:
    """Return a good row with one field changed."""
    fields = dict(zip(COLUMNS, GOOD.split(","), strict=True))
    return ",".join({**fields, name: value}.values())


def test_good_row(tmp_path: Path) -> None:
    """A row becomes a transfer under its reference, with its line number and an exact amount."""
    (order,) = read(tmp_path, GOOD).accepted
    assert (order.line, order.id, str(order.transfer.amount)) == (2, "T-0001", "12.50")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (with_field("amount", "-25.00"), "amount: Input should be greater than 0"),
        (with_field("amount", "0.00"), "amount: Input should be greater than 0"),
        (with_field("amount", "0.001"), "amount: Decimal input should have no more than 2 decimal places"),
        (with_field("amount", "1e30"), "amount: Input should be less than or equal to 1000000"),
        (with_field("amount", "1000000.01"), "amount: Input should be less than or equal to 1000000"),
        (with_field("amount", "1e-30"), "amount: Decimal input should have no more than 2 decimal places"),
        (with_field("amount", "twelve"), "amount: Input should be a valid decimal"),
        (with_field("amount", ""), "amount: Input should be a valid decimal"),
        (with_field("amount", "NaN"), "amount: Input should be a finite number"),
        (with_field("amount", "-Infinity"), "amount: Input should be a finite number"),
        (with_field("source", ""), "source: this is no account number"),
        (with_field("target", "xs15sued00000001"), "target: this is no account number"),
        (with_field("target", "XS15SUED00000001 "), "target: this is no account number"),
        (with_field("target", "XS15SUED0000000\u0661"), "target: this is no account number"),
        (with_field("target", "XS15SUED00000010"), "target: the check digits do not fit"),
        (with_field("target", "XN26NORD00000001"), "source and target are the same account"),
        (with_field("owner", "no address"), "owner: this is no mail address"),
        (with_field("owner", "a" * 100_000 + "@example.org"), "owner: this is no mail address"),
        (with_field("owner", "bakery\udcff@example.org"), "owner: this is no mail address"),
        (with_field("reference", ""), "reference: this is no reference"),
        (with_field("reference", "T-0001/2"), "reference: this is no reference"),
        (with_field("reference", "T-\x000001"), "reference: this is no reference"),
        (with_field("amount", '"12.50'), "it is no row of a CSV file"),
        (with_field("amount", "12,50"), "it has 6 fields instead of 5"),
        ("T-0001,XN26NORD00000001", "it has 2 fields instead of 5"),
        ("", "it has 0 fields instead of 5"),
        ("x" * 200_000, "it is no row of a CSV file: field larger than field limit"),
    ],
)
def test_bad_row_is_refused_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    """It is refused for its own reason; the rows around it are carried out."""
    before, after = with_field("reference", "T-0007"), with_field("reference", "T-0008")
    orders = read(tmp_path, before, row, after)
    assert [order.id for order in orders.accepted] == ["T-0007", "T-0008"]
    (refused,) = orders.refused
    assert refused.line == 3
    assert reason in refused.reason


def test_all_faults_of_a_row_are_told_at_once(tmp_path: Path) -> None:
    """Whoever corrects the file needs one look only, and sees no data of others."""
    (refused,) = read(tmp_path, "T-1,secret,,x,").refused
    assert [fault.partition(":")[0] for fault in refused.reason.split("; ")] == [*COLUMNS]
    assert "secret" not in refused.reason


@pytest.mark.parametrize("second", [GOOD, GOOD.replace("12.50", "13.00")])
def test_reference_that_was_used_before_is_refused(tmp_path: Path, second: str) -> None:
    """The first row keeps its reference, whether the second is a copy or something else."""
    orders = read(tmp_path, GOOD, second)
    assert [str(order.transfer.amount) for order in orders.accepted] == ["12.50"]
    assert [refused.reason for refused in orders.refused] == ["reference: T-0001 was used on line 2"]


def test_windows_line_ends_and_a_missing_last_one(tmp_path: Path) -> None:
    """How a line ends is no fault."""
    path = tmp_path / "transfers.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\r\n" + GOOD.encode())
    orders = read_transfers(path)
    assert (len(orders.accepted), orders.refused) == (1, ())


@pytest.mark.parametrize("text", ["", "id,amount\n1,2\n", GOOD + "\n"])
def test_another_file_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    """A file without our header is no list of transfers, and the error says what is expected."""
    path = tmp_path / "other.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.csv: the first line must be reference,source,target"):
        read_transfers(path)


def test_the_example_file_loses_no_row() -> None:
    """Accepted and refused lines together are all lines, and both are many."""
    orders = read_transfers(TRANSFERS)
    lines = [*(row.line for row in orders.accepted), *(row.line for row in orders.refused)]
    assert sorted(lines) == list(range(2, count_rows(TRANSFERS) + 2))
    assert len(orders.accepted) > 250
    assert len(orders.refused) > 20


@pytest.mark.parametrize("rows", [1, 3, 300, 301, 750])
def test_file_of_any_length(tmp_path: Path, rows: int) -> None:
    """Cut off or begun again, it has so many rows, and references stay unique."""
    path = tmp_path / "transfers.csv"
    path.write_text(resized(TRANSFERS, rows), encoding="utf-8")
    orders = read_transfers(path)
    assert len(orders.accepted) + len(orders.refused) == rows
    assert len({order.id for order in orders.accepted}) == len(orders.accepted)
    share = len(orders.refused) / rows
    assert share < 0.15


def test_accounts_belong_to_nobody() -> None:
    """Their numbers are well-formed, unique, and of countries that do not exist."""
    with ACCOUNTS.open(encoding="utf-8", newline="") as file:
        numbers = [row["account"] for row in csv.DictReader(file)]
    for number in numbers:
        TypeAdapter(AccountNumber).validate_python(number)
    assert len({*numbers}) == len(numbers) == 60
    assert {number[0] for number in numbers} == {"X"}
