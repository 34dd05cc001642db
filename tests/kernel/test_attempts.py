"""When another attempt follows one that ended without an answer: one decision for every engine that tries by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga.kernel import Attempt, CallState, Retry, retry_after

SECOND = timedelta(seconds=1)
THREE = Retry(attempts=3, first=SECOND)
LOST = Attempt(CallState.IN_DOUBT)


@pytest.mark.parametrize(
    "last",
    [Attempt(CallState.DONE), Attempt(CallState.REJECTED, final=True), Attempt(CallState.IN_DOUBT, final=True)],
    ids=["done", "rejected", "cannot be helped"],
)
def test_an_attempt_that_ended_for_good_is_the_last(last: Attempt) -> None:
    """However many the policy allows."""
    assert retry_after(Retry(attempts=None), last, made=1, before=0) is None


def test_attempts_follow_until_the_policy_is_spent() -> None:
    """Each waits longer than the one before it, and after the third nothing follows."""
    assert [retry_after(THREE, LOST, made=made, before=0) for made in (1, 2, 3)] == [SECOND, 2 * SECOND, None]


def test_attempts_of_former_owners_count() -> None:
    """For the limit, and for how long is waited."""
    assert [retry_after(THREE, LOST, made=1, before=before) for before in (0, 1, 2)] == [SECOND, 2 * SECOND, None]


def test_each_owner_makes_one_attempt_at_least() -> None:
    """What was not recorded is repeated, so no call is given up without an attempt; but then it is."""
    assert retry_after(THREE, LOST, made=1, before=7) is None
    assert retry_after(Retry(attempts=2, first=SECOND), LOST, made=1, before=0) == SECOND


def test_without_a_limit_attempts_follow_for_ever() -> None:
    """With waiting times up to the cap."""
    endless = Retry(attempts=None, first=SECOND, cap=timedelta(minutes=1))
    assert retry_after(endless, LOST, made=500, before=500) == timedelta(minutes=1)
