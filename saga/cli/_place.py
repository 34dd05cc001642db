"""Where the instances are, a journal or a Temporal server, and the options that name it."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from saga.errors import MissingExtraError

from ._text import NO_TEXT, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from types import ModuleType

    from saga.embedded import Journal
    from saga.kernel import Fact, Request, SagaState, SagaSummary, SagaView

    from ._temporal import Server

__all__ = (
    "Address",
    "Database",
    "EngineName",
    "Instances",
    "Namespace",
    "Place",
    "Profile",
    "at_place",
    "is_address",
    "opened",
    "opened_journal",
    "opened_server",
    "temporal",
)

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):[0-9]{1,5}")


class EngineName(StrEnum):
    """Engines, by the names that the command line gives them."""

    EMBEDDED = "embedded"
    TEMPORAL = "temporal"


def is_address(text: str) -> bool:
    """Tell whether `text` names host and port."""
    return _ADDRESS.fullmatch(text) is not None


def _check_address(context: typer.Context, address: str) -> str:
    if address and not context.resilient_parsing and not is_address(address):
        raise typer.BadParameter(f"{address!r} is no address; write HOST:PORT, such as 127.0.0.1:7233")
    return address


Database = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="SAGA_DATABASE",
        help="The journal: sqlite:///transfers.db or postgresql://user@host/database.",
        show_default=False,
    ),
]
Engine = Annotated[
    EngineName | None,
    typer.Option(
        "--engine", metavar="NAME", help="The engine: embedded, or temporal.", case_sensitive=False, show_default=False
    ),
]
Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        callback=_check_address,
        help="The Temporal server; else as the profile or TEMPORAL_ADDRESS say.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="The Temporal namespace; else as the profile or TEMPORAL_NAMESPACE say.",
        show_default=False,
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="A profile of Temporal's configuration: address, TLS, API key.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the instances are: the options as they were given.

    Attributes:
        database: URL of a journal; may come from the environment.
        engine: The engine that was named, if any.
        address: Address of a Temporal server.
        namespace: Its namespace.
        profile: Profile of Temporal's configuration.
    """

    database: str = ""
    engine: EngineName | None = None
    address: str = ""
    namespace: str = ""
    profile: str = ""

    @property
    def on_server(self) -> bool:
        """Whether a Temporal server was named, and no journal."""
        return self.engine is EngineName.TEMPORAL or bool(self.address or self.namespace or self.profile)

    @property
    def options(self) -> str:
        """What a command must be given to find the same Temporal server, as a shell takes it."""
        if not self.on_server:
            return ""
        given = (("--address", self.address), ("--namespace", self.namespace), ("--profile", self.profile))
        words = [word for name, value in given if value for word in _option(name, value)]
        return shlex.join(["--engine", "temporal", *words] if not self.address else words)

    def check(self) -> None:
        """Refuse options that name two places, or none.

        Raises:
            BadParameter: if they do.
        """
        if self.on_server and self.engine is EngineName.EMBEDDED:
            raise typer.BadParameter("--address, --namespace and --profile are for --engine temporal")
        if self.on_server and self.database and self.database != os.environ.get("SAGA_DATABASE"):
            raise typer.BadParameter("name one place: a journal with --database, or a Temporal server with --address")
        if not self.on_server and not self.database:
            raise typer.BadParameter(
                "no journal was named: give --database sqlite:///transfers.db, or set SAGA_DATABASE; "
                "for sagas on Temporal give --address HOST:PORT or --engine temporal"
            )
        if not is_text(self.database):
            raise typer.BadParameter(f"SAGA_DATABASE is no text: {NO_TEXT}")


def _option(name: str, value: str) -> tuple[str, ...]:
    return (f"{name}={value}",) if value.startswith("-") else (name, value)


class Instances(Protocol):
    """What the commands need of a journal or a server; all of it blocks."""

    def list(
        self,
        *,
        saga: str | None = None,
        states: Iterable[SagaState] = (),
        id_prefix: str = "",
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[SagaSummary]:
        """Yield instances, newest first."""
        ...

    def count(self, saga: str | None = None) -> Mapping[SagaState, int]:
        """Return how many instances are in each state."""
        ...

    def facts(self, id: str) -> Sequence[Fact]:
        """Return the facts of an instance."""
        ...

    def view(self, id: str) -> SagaView:
        """Return an instance as its facts tell it."""
        ...

    def driven(self, id: str) -> bool:
        """Tell whether anybody drives an instance now, as far as can be seen."""
        ...

    def send(self, id: str, request: Request, *, timeout: timedelta) -> bool:
        """Bring a request to whoever drives an instance; False if it was left there and nobody answered."""
        ...


@contextmanager
def opened(place: Place) -> Generator[Instances]:
    """Open the journal, or connect to the server, that the options name.

    Raises:
        BadParameter: if they name none, or two.
        JournalError: if the journal cannot be used.
        ServerError: if the server cannot.
        MissingExtraError: if what it takes is not installed.
    """
    place.check()
    if place.on_server:
        with opened_server(place) as server:
            yield server
        return
    with opened_journal(place.database) as journal:
        yield journal


@contextmanager
def opened_journal(database: str) -> Generator[Journal]:
    """Open the journal of `--database`.

    Raises:
        BadParameter: if none was named.
        JournalError: if it cannot be used.
    """
    Place(database=database).check()
    from saga.embedded import Journal  # noqa: PLC0415 - SQLAlchemy is loaded when a journal is needed

    with Journal.open(database) as journal:
        yield journal


@contextmanager
def opened_server(place: Place) -> Generator[Server]:
    """Connect to the server that the options name.

    Raises:
        ServerError: if it cannot be reached.
        MissingExtraError: if temporalio is not installed.
    """
    place.check()
    with temporal().Server.connected(place) as server:
        yield server


def temporal() -> ModuleType:
    """Return the part of the command line that talks to a Temporal server.

    Raises:
        MissingExtraError: if temporalio is not installed.
    """
    try:
        from . import _temporal  # noqa: PLC0415 - temporalio is loaded when a server is needed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "temporalio":
            raise
        raise MissingExtraError(
            'sagas on Temporal need the package temporalio; install it with: pip install "sagakit[temporal]"'
        ) from None
    return _temporal


def at_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a place, as one argument `place`."""
    signature = inspect.signature(command, eval_str=True)
    kinds = {"database": Database, "engine": Engine, "address": Address, "namespace": Namespace, "profile": Profile}
    given = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=kinds[one.name])
        for one in fields(Place)
    ]

    def run(**values: Any) -> None:  # whatever the command takes
        command(place=Place(**{one.name: values.pop(one.name) for one in given}), **values)

    own = [one for name, one in signature.parameters.items() if name != "place"]
    described: Any = run  # typer reads the options from its signature
    described.__signature__ = inspect.Signature(_sorted([*own, *given]))
    run.__annotations__ = {one.name: one.annotation for one in (*own, *given)}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _sorted(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Return parameters with `--json` last, as help has it everywhere."""
    return sorted(parameters, key=lambda one: (one.kind is one.KEYWORD_ONLY, one.name == "as_json"))
