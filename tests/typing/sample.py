"""Shows how the files of this folder are written; the type checkers read them, nothing executes them.

A comment says what must be reported on its line, as regular expressions; any other error is a failure.
"""

# mypy: enable-error-code="arg-type"

from saga.errors import SagaError


def explain(error: SagaError) -> str:
    return str(error)


explain(SagaError("right"))
explain("wrong")  # mypy: "expected "SagaError"" # pyright: ""Literal\['wrong'\]" is not assignable to "SagaError""
