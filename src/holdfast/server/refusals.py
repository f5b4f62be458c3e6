"""A result that was refused, as the error of the tree that its code names."""

from __future__ import annotations

from holdfast.core.errors import HoldfastError, InvalidValue, WorldError
from holdfast.core.messages import Problem, Result
from holdfast.server.problems import all_codes

__all__ = ["error_of", "raise_refusal"]


def error_of(problem: Problem) -> HoldfastError:
    """The error whose wire form `problem` is; a code that no class has (a refusal of core's own) is an InvalidValue with that code."""
    for cls in all_codes():
        if cls.code == problem.code:
            if issubclass(cls, WorldError):
                return cls(problem.detail, hint=problem.hint, field=problem.field, retry_after=problem.retry_after or 1)
            return cls(problem.detail, hint=problem.hint, field=problem.field)
    return InvalidValue(problem.detail, hint=problem.hint, field=problem.field, reason=problem.code)


def raise_refusal(result: Result) -> None:
    """Raise what a `refused` result says. REST answers refusals with their status, not inside a 200."""
    if result.outcome == "refused":
        raise error_of(result.error or Problem(code="invalid", detail="The change was refused.", hint="Look at what was sent."))
