"""Nobody locks an organisation out, and nobody makes himself an owner. Promise 4."""

from __future__ import annotations

import pytest

from holdfast.core.access import Actor
from holdfast.model.builtin import role_change_problem

OWNER, ADMIN = Actor("o", frozenset({"owner"})), Actor("a", frozenset({"admin"}))


@pytest.mark.parametrize(
    ("actor", "before", "after", "other_owners", "says"),
    [
        (OWNER, ["owner"], [], 0, "without an owner"),
        (OWNER, ["owner", "staff"], ["staff"], 0, "without an owner"),
        (ADMIN, ["owner"], ["owner", "staff"], 0, None),
        (OWNER, ["owner"], ["admin"], 1, None),
        (ADMIN, ["owner"], ["admin"], 1, "Only an owner"),
        (ADMIN, [], ["owner"], 1, "Only an owner"),
        (OWNER, [], ["owner"], 1, None),
        (ADMIN, ["staff"], ["admin"], 1, None),
        (ADMIN, ["staff"], [], 0, None),
    ],
)
def test_who_may_change_whose_roles(actor: Actor, before: list[str], after: list[str], other_owners: int, says: str | None) -> None:
    problem = role_change_problem(actor, before, after, other_owners)
    assert (problem is None) if says is None else (says in str(problem))
