"""What is wrong with a saga class, collected so that an author sees all of it at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saga.errors import Fault
from saga.kernel._activity import Activity, activity_of
from saga.kernel._codec import Codec, codec_of
from saga.kernel._declared import Declared
from saga.kernel._definition import short_place

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Findings",)


@dataclass(slots=True)
class Findings:
    """Collects faults, so that an author sees all of them at once."""

    scope: Mapping[str, object]
    faults: list[Fault] = field(default_factory=list[Fault])

    def add(self, declared: Declared | None, name: str, text: str, where: str = "") -> None:
        place = declared.where if declared is not None else where
        fault = Fault(short_place(place), name, text.rstrip(".") + ".")
        if fault not in self.faults:  # one type may be at fault in several places of a step
            self.faults.append(fault)

    def codec(
        self, declared: Declared | None, name: str, type_: Any, where: str = ""
    ) -> Codec | None:  # any annotation
        try:
            return codec_of(type_)
        except TypeError as error:
            self.add(declared, name, str(error), where)
            return None

    def activity(self, declared: Declared, name: str, function: object) -> Activity | None:
        if isinstance(function, Declared):
            text = f"it is given the step {function.name!r}, whose name hides the function's in this class; rename one."
            self.add(declared, name, text)
            return None
        try:
            return activity_of(function, self.scope)
        except TypeError as error:
            self.add(declared, name, str(error))
            return None
