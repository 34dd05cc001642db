"""Names of calls as people type them."""

from __future__ import annotations

import typer

from saga.kernel import Role

__all__ = ("called",)

_ROLES = frozenset(role.value for role in Role if role is not Role.ACTION)


def called(text: str, *, roles: bool = False, decision: bool = False) -> str:
    """Return the call that somebody named: `debit` is `debit.1`.

    Args:
        text: A call such as `debit.2`, or `pay.1/debit.2` of a nested saga.
        roles: Whether a role after it, as in `debit.1/compensation`, is understood and dropped.
        decision: Whether a decision is named, which has no roles.

    Raises:
        BadParameter: if it names no call.

    Example:
        >>> called("debit"), called("pay.1/debit"), called("debit.2/compensation", roles=True)
        ('debit.1', 'pay.1/debit.1', 'debit.2')
    """
    *children, last = text.split("/")
    if last in _ROLES and children and not decision:
        if not roles:
            raise typer.BadParameter(f"{text!r} is a {last}; name the call alone, {'/'.join(children)}")
        *children, last = children
    if "." not in last:
        last += ".1"
    parts = [*children, last]
    if (decision and children) or not all(_is_call(part) for part in parts):
        if decision:
            raise typer.BadParameter(
                f"{text!r} names no decision; write a decision and which use of it in run, such as review.1"
            )
        raise typer.BadParameter(f"{text!r} names no call; write a step and which use of it, such as debit.1")
    return "/".join(parts)


def _is_call(part: str) -> bool:
    step, _, number = part.partition(".")
    digits = number.isascii() and number.isdecimal() and len(number) < 10  # noqa: PLR2004 - far above any saga
    return step.isidentifier() and digits and not number.startswith("0")
