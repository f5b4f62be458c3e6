"""Pushes of hostile mutations with good ones between them: each good one is applied, none of the others is an internal error, and in the
end tables and log are still one. Defends P3 (never dropped: also not the neighbour's) and P1."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdfast import Limits
from holdfast.engine.verify import verify_tenant
from tests.core.corpus import naughty_strings
from tests.proof.hostile import TEMPLATES, VALUES, bent, garbage, good, places, raw_garbage
from tests.proof.story import in_the_open
from tests.proof.world import World, named_id, world

EXAMPLES = int(os.environ.get("HOLDFAST_EXAMPLES", "150"))
bounded = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
                   phases=(Phase.explicit, Phase.generate))      # what failed is told; to make it smaller would take minutes
numbers = itertools.count()
ROOMY = Limits(inbox_items_max=1_000_000, inbox_bytes_max=10**10)
"""What is held must go on being held: a full inbox would refuse it before it is looked at."""


class Attacked:
    """A clinic on SQLite, in an event loop that a property can use again and again."""

    def __init__(self, runner: asyncio.Runner, made: World) -> None:
        self._runner = runner
        self.world = made

    def push(self, mutations: list[bytes], who: str = "olga") -> list[dict[str, Any]]:
        number = next(numbers)
        body = b'{"device_id":"hostile-%d","now":%d,"mutations":[%s]}' % (number, self.world.runtime.now, b",".join(mutations))
        self.world.runtime.pass_minutes(2)
        answer = self._runner.run(self.world.call(who, "POST", "/v1/push", raw=body, headers={"content-type": "application/json"}))
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        assert len(results) == len(mutations)
        return results

    def run(self, work: Any) -> Any:
        return self._runner.run(work)


@contextmanager
def attacked(folder: Path) -> Iterator[Attacked]:
    with asyncio.Runner() as runner:
        opened = world(path=folder, limits=ROOMY)
        made = runner.run(opened.__aenter__())
        try:
            runner.run(in_the_open(made))
            yield Attacked(runner, made)
            report = runner.run(verify_tenant(made.store, "acme"))
            assert report.ok, report.findings
        finally:
            runner.run(opened.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with attacked(tmp_path_factory.mktemp("hostile") / "data") as made:
        yield made


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def fresh(value: Any, number: int, at: int) -> Any:
    """With an id of its own, where it has one, and a record of its own, where it wants one."""
    if isinstance(value, dict):
        if value.get("mutation_id") == "m":
            value["mutation_id"] = f"h-{number}-{at}"
        if value.get("record_id") == "{new}":
            value["record_id"] = named_id(f"h {number} {at}")
    return value


def raise_on_internal(results: list[dict[str, Any]], sent: list[bytes]) -> None:
    for result, raw in zip(results, sent, strict=True):
        assert (result.get("error") or {}).get("code") != "internal", (result, raw[:2_000])
        assert result["outcome"] in ("applied", "merged", "held", "duplicate", "refused")
        assert result["outcome"] != "refused" or result["error"]["detail"], result


def pushed_between(clinic: Attacked, hostile: list[bytes], number: int, *, every: int = 1) -> None:
    """Push with a good mutation after every so many, and after the last."""
    sent: list[bytes] = []
    for at, raw in enumerate(hostile):
        sent += [raw, encoded(good(number, at))] if at % every == every - 1 or at == len(hostile) - 1 else [raw]
    results = clinic.push(sent)
    raise_on_internal(results, sent)
    kept = [one for one, raw in zip(results, sent, strict=True) if raw.startswith(b'{"mutation_id": "good-')]
    assert kept and {(one["outcome"], one["receipt"]) for one in kept} == {("applied", "committed")}, kept


def put(template: Any, way: tuple[Any, ...], value: Any) -> Any:
    """A copy of the template with `value` at a place."""
    made = json.loads(json.dumps(template))
    holder = made
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    return made


def test_good_mutations_between_hostile_ones_are_applied(clinic: Attacked) -> None:
    @bounded
    @given(hostile=st.lists(garbage(), min_size=1, max_size=8))
    def holds(hostile: list[Any]) -> None:
        number = next(numbers)
        pushed_between(clinic, [encoded(fresh(one, number, at)) for at, one in enumerate(hostile)], number)

    holds()


def test_good_mutations_in_the_line_of_a_hostile_one_are_judged_by_themselves(clinic: Attacked) -> None:
    """The next change of the same record by the same device, which names no predecessor."""
    @bounded
    @given(hostile=bent())
    def holds(hostile: dict[str, Any]) -> None:
        number = next(numbers)
        record = named_id(f"line {number}")
        create = {**good(number, 0), "record_id": record}
        hostile = {**fresh(hostile, number, 1), "record_id": record, "collection": "notices", "after": create["mutation_id"]}
        sent = [encoded(create), encoded(hostile)]
        results = clinic.push(sent)
        raise_on_internal(results, sent)
        assert results[0]["outcome"] == "applied"
        view = clinic.run(clinic.world.call("olga", "GET", f"/v1/records/notices/{record}?include_deleted=1"))
        history = clinic.run(clinic.world.call("olga", "GET", f"/v1/records/notices/{record}/history"))
        assert view.status_code == history.status_code == 200

    holds()


def test_a_push_that_is_no_json_somewhere_is_refused_whole_or_its_neighbours_applied(clinic: Attacked) -> None:
    @bounded
    @given(raw=raw_garbage())
    def holds(raw: bytes) -> None:
        number = next(numbers)
        body = b'{"device_id":"raw-%d","mutations":[%s,%s]}' % (number, encoded(good(number, 0)), raw)
        clinic.world.runtime.pass_minutes(2)
        answer = clinic.run(clinic.world.call("olga", "POST", "/v1/push", raw=body, headers={"content-type": "application/json"}))
        assert answer.status_code in (200, 400, 413, 422), answer.text
        assert "internal" not in answer.text and "Traceback" not in answer.text
        if answer.status_code == 200:
            assert answer.json()["results"][0]["outcome"] == "applied"

    holds()


@pytest.mark.parametrize("at", range(len(TEMPLATES)))
def test_each_hostile_value_at_each_place_of_a_mutation(clinic: Attacked, at: int) -> None:
    for start in range(0, len(VALUES), 30):
        for way in places(TEMPLATES[at]):
            number = next(numbers)
            hostile = [fresh(put(TEMPLATES[at], way, value), number, step) for step, value in enumerate(VALUES[start:start + 30])]
            pushed_between(clinic, [encoded(one) for one in hostile], number, every=15)


STRING_PLACES = [(0, way) for way in (("mutation_id",), ("collection",), ("record_id",), ("after",), ("base",), ("ops", 0, "op"))]
STRING_PLACES += [(0, ("ops", 0, "value", name)) for name in ("title", "body", "code", "fee", "pin", "patient")]
STRING_PLACES += [(0, ("ops", 0, "value", "tags", 0)), (0, ("ops", 0, "value", "extra", "k")), (4, ("edited_at",)), (4, ("ops", 0, "path")),
                  (5, ("ops", 0, "value", "c")), (6, ("ops", 0, "value")), (8, ("ops", 0, "value")), (14, ("ops", 0, "edits", 1, 2)),
                  (17, ("ops", 0, "items", 0)), (21, ("forked_from", "device_id"))]


@pytest.mark.parametrize(("at", "way"), STRING_PLACES, ids=str)
def test_each_of_the_corpus_naughty_strings_where_a_string_belongs(clinic: Attacked, at: int, way: tuple[Any, ...]) -> None:
    strings = naughty_strings()
    for start in range(0, len(strings), 60):
        number = next(numbers)
        hostile = [fresh(put(TEMPLATES[at], way, one), number, step) for step, one in enumerate(strings[start:start + 60])]
        pushed_between(clinic, [encoded(one) for one in hostile], number, every=30)


def test_naughty_strings_are_kept_as_they_are(clinic: Attacked) -> None:
    """As values, as keys of a document, as items of a set and as text, byte for byte; or refused with a reason."""
    strings = naughty_strings()
    number = next(numbers)
    for step, one in enumerate(strings):
        value = {"title": one or "-", "body": one, "tags": [one], "extra": {one: one}}
        sent = {**good(number, step), "ops": [{"op": "create", "value": value}]}
        result = clinic.push([encoded(sent)])[0]
        assert result["outcome"] == "applied" or result["unapplied"][0]["message"], result
        if result["outcome"] == "applied":
            view = clinic.run(clinic.world.call("olga", "GET", f"/v1/records/notices/{sent['record_id']}")).json()["fields"]
            assert {name: view[name] for name in value} == value


def test_a_counter_stays_a_number_that_every_reader_can_hold(clinic: Attacked) -> None:
    record = named_id("counter")
    clinic.push([encoded({**good(0, 0), "mutation_id": "counter", "record_id": record})])
    adds = [encoded({"mutation_id": f"add-{at}", "collection": "notices", "record_id": record, "after": None if not at else f"add-{at - 1}",
                     "ops": [{"op": "add", "path": "/views", "by": 2**53 - 1}]}) for at in range(20)]
    results = clinic.push(adds)
    raise_on_internal(results, adds)
    view = clinic.run(clinic.world.call("olga", "GET", f"/v1/records/notices/{record}")).json()
    assert abs(view["fields"]["views"]) <= 2**53 - 1


@pytest.mark.parametrize("edits", [[[0, 10**12, ""]], [[10**12, 0, "x"]], [[0, 150_000, ""]] * 100, [[0, 2**53 - 1, "x"], [0, 0, "y"]]])
def test_edits_that_reach_further_than_any_text_are_refused_before_anything_is_made_of_them(clinic: Attacked, edits: list[Any]) -> None:
    """On another history they would be held, with an inverse as large as what they say they delete."""
    number = next(numbers)
    record = named_id(f"reach {number}")
    create = {**good(number, 0), "record_id": record}
    splice = {"mutation_id": f"reach-{number}", "collection": "notices", "record_id": record, "base": "1.00000000",
              "after": create["mutation_id"], "ops": [{"op": "splice", "path": "/body", "edits": edits}]}
    results = clinic.push([encoded(create), encoded(splice)])
    assert results[1]["outcome"] == "refused" and results[1]["error"]["code"] == "limit"


ODD_KEYS = [1.5398062724481304e16, -6.3e16, {"Inf": -2.4e16}, [1e308], {"a": {"b": [1.7976931348623157e308]}}, 0.1, [[]], {}]


@pytest.mark.parametrize("value", ODD_KEYS, ids=str)
def test_a_key_that_has_no_canonical_form_is_refused_alone(clinic: Attacked, value: Any) -> None:
    number = next(numbers)
    visit = {"mutation_id": f"key-{number}", "collection": "visits", "record_id": named_id("visit"),
             "ops": [{"op": "create", "value": {"patient": named_id("wall"), "day": value}}]}
    results = clinic.push([encoded(good(number, 0)), encoded(visit), encoded(good(number, 1))])
    assert [one["outcome"] for one in results] == ["applied", "refused", "applied"]


@pytest.mark.parametrize("ops", [
    [{"op": "set", "path": "/views", "value": "x"}, {"op": "set", "path": "/views", "value": 7}],
    [{"op": "set", "path": "/body", "value": ["x"]}, {"op": "set", "path": "/body", "value": "text"}],
    [{"op": "set", "path": "/tags", "value": {"a": 1}}, {"op": "set", "path": "/tags", "value": ["b"]}]], ids=str)
def test_a_value_set_upon_one_that_does_not_fit_is_applied_beside_it(clinic: Attacked, ops: list[Any]) -> None:
    """On a base behind which others have written: then the finer op is worked out from what the device saw."""
    number = next(numbers)
    record, other = named_id(f"upon {number}"), f"other-{number}"
    clinic.push([encoded({**good(number, 0), "mutation_id": "made", "record_id": record})])
    base = clinic.run(clinic.world.call("olga", "GET", f"/v1/records/notices/{record}")).json()["position"]
    for path, value in (("/views", 3), ("/body", "theirs"), ("/tags", ["theirs"])):
        clinic.push([encoded({"mutation_id": f"{other}{path[1:]}", "collection": "notices", "record_id": record,
                              "ops": [{"op": "set", "path": path, "value": value}]})])
    result = clinic.push([encoded({"mutation_id": "upon", "collection": "notices", "record_id": record, "base": base, "ops": ops})])[0]
    assert result["outcome"] == "held" and [part["reason"] for part in result["unapplied"]] == ["invalid"], result
    field = ops[0]["path"][1:]
    kept = clinic.run(clinic.world.call("olga", "GET", f"/v1/records/notices/{record}")).json()["fields"][field]
    assert kept in (10, ["b", "theirs"], "texttheirs", "theirstext")
