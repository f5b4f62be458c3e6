"""Whoever sends what has not the declared form is told where. Defends P3 (a refusal has its reason)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.core.misfit import misfit


class Price(msgspec.Struct, forbid_unknown_fields=True):
    at: int


class Order(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    lines: list[Price] = []
    prices: dict[str, Price] = {}


@pytest.mark.parametrize(("given", "place"), [
    ({"number": "one"}, "/number"),
    ({}, "/number"),
    ({"number": 1, "colour": "red"}, "/colour"),
    ({"number": 1, "a/b~": 1}, "/a~1b~0"),
    ({"number": 1, "lines": [{"at": 1}, {"at": "x"}]}, "/lines/1/at"),
    ({"number": 1, "lines": [{}]}, "/lines/0/at"),
    ({"number": 1, "prices": {"k.z": {"at": "x"}}}, "/prices"),
    ({"number": 1, "prices": {"k.z": {}}}, "/prices"),
    ([], None),
])
def test_what_does_not_fit_is_pointed_at_also_a_member_that_is_missing_or_unknown(given: Any, place: str | None) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(given, Order)
    found = misfit(raised.value)
    assert found.place == place
    assert "$" not in found.reason
