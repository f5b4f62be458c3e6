"""What the pure core costs: microseconds an operation, no disk and no server. `python -m benchmarks.core_costs [--seconds 0.2]`.

Each line is the least of five rounds: what else the machine did only ever adds. `CPU` time is measured, so a busy machine disturbs
little. The aims are those of the design (section 5) for the splices and of the spike behind it for the rest.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from time import process_time
from typing import NamedTuple

import orjson

from holdfast.core import clock, digest, position, text, values
from holdfast.core.apply import apply_ops, defaults
from holdfast.core.entry import Entry, Mutation, Request, TextChange
from holdfast.core.limits import Limits
from holdfast.core.ops import AddOp, IncludeOp, Op, SetOp, SpliceOp
from holdfast.core.schema import Collection, Field, Kind

ROUNDS = 5
KINDS = {"title": Kind.STRING, "status": Kind.STRING, "price": Kind.INTEGER, "j": Kind.JSON, "notes": Kind.TEXT, "views": Kind.COUNTER,
         "tags": Kind.SET}
PAGES = Collection(name="pages", fields={name: Field(name=name, kind=kind, optional=True) for name, kind in KINDS.items()})
NOW = 1_800_000_000_000
ID = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff000"


class Cost(NamedTuple):
    name: str
    work: Callable[[], object]
    aim_us: float | None = None


def microseconds(work: Callable[[], object], seconds: float) -> float:
    """The least CPU time of one call, over rounds of `seconds` each."""
    count, took = 1, 0.0
    while took < seconds / 10:
        count *= 2
        took = timed(work, count)
    count = max(1, int(count * seconds / took))
    return min(timed(work, count) for _ in range(ROUNDS)) / count * 1e6


def timed(work: Callable[[], object], count: int) -> float:
    rounds = range(count)
    began = process_time()
    for _ in rounds:
        work()
    return process_time() - began


def text_costs(rng: random.Random) -> Iterator[Cost]:
    for length, aim in ((500, 5.0), (5_000, 6.2), (200_000, 190.0)):
        yield Cost(f"splice in a text of {length:,} code points, with its inverse", spliced("x" * length, (length // 2, 3, "hello")), aim)
    own = text.from_edits([(250, 0, "hello")])
    for count, aim in ((1, 14.0), (10, 37.0), (100, 325.0), (1_000, 3_900.0)):
        others = [text.from_edits([(rng.randrange(495), rng.randrange(4), "abc")]) for _ in range(count)]
        yield Cost(f"a splice past {count:,} others", past(own, others), aim)
    left, right = text.from_edits([(250, 3, "abc")]), text.from_edits([(251, 4, "de")])
    yield Cost("transform of two that overlap", lambda: text.transform(left, right, True))
    yield Cost("compose of two", lambda: text.compose(left, right))
    typing = [(250 + i, 0, "x") for i in range(50)]
    yield Cost("50 keystrokes into one change", lambda: text.from_edits(typing))
    scattered = [(2 * i, 0, "x") for i in range(1_000)]
    yield Cost("1,000 scattered edits into one change", lambda: text.from_edits(scattered))
    old = " ".join(f"word{rng.randrange(400)}" for _ in range(100))
    new = old.replace("word7", "another").replace("word3", "one")
    yield Cost(f"diff of two texts of {len(old)} code points", lambda: text.diff(old, new))


def spliced(before: str, edit: tuple[int, int, str]) -> Callable[[], object]:
    def work() -> object:
        change = text.from_edits([edit])
        after = text.apply(before, change)
        return after, text.to_edits(text.invert(before, change))
    return work


def past(own: TextChange, others: list[TextChange]) -> Callable[[], object]:
    def work() -> object:
        change, waiting = own, []
        for other in others:
            theirs, change = text.transform(other, change, True)
            waiting.append(theirs)
        return change, waiting
    return work


def apply_costs() -> Iterator[Cost]:
    fields = {**defaults(PAGES), "notes": "x" * 500, "j": {f"k{i}": i for i in range(20)}, "tags": ["a", "b", "c"]}
    one: dict[str, tuple[list[Op], float | None]] = {
        "set": ([SetOp("/status", "won")], 2.0),
        "set inside a Json of 20 keys": ([SetOp("/j/k3", 5)], None),
        "set with two parents made": ([SetOp("/j/a/b/c", 5)], None),
        "10 keys of a Json": ([SetOp(f"/j/k{i}", i) for i in range(10)], 21.0),
        "splice in a text of 500 code points": ([SpliceOp("/notes", [(250, 3, "hello")])], 5.0),
        "add": ([AddOp("/views", 1)], None),
        "include": ([IncludeOp("/tags", ["d"])], None),
    }
    for name, (ops, aim) in one.items():
        yield Cost(f"apply: {name}", lambda ops=ops: apply_ops(fields, ops, PAGES), aim)  # type: ignore[misc]


def value_costs() -> Iterator[Cost]:
    limits = Limits()
    small = {"op": "set", "path": "/j", "value": {f"k{i}": f"some text value {i}" for i in range(18)}}
    large = {"all": [small] * 40}
    for name, value in (("500 bytes", small), ("20 kB", large)):
        raw = orjson.dumps(value)
        spaced = orjson.dumps(value, option=orjson.OPT_INDENT_2)
        yield Cost(f"decode_json of {name}", lambda raw=raw: values.decode_json(raw))  # type: ignore[misc]
        yield Cost(f"decode_json of {name}, spaced", lambda raw=spaced: values.decode_json(raw))  # type: ignore[misc]
        yield Cost(f"orjson.loads of {name}, for comparison", lambda raw=raw: orjson.loads(raw))  # type: ignore[misc]
        yield Cost(f"normalise {name}", lambda value=value: values.normalise(value, limits=limits, path="/j"))  # type: ignore[misc]
        yield Cost(f"canonical form of {name}", lambda value=value: values.canonical(value))  # type: ignore[misc]
    yield Cost("normalise a string", lambda: values.normalise("some text value", limits=limits, path="/status"))


def entry_costs() -> Iterator[Cost]:
    ops: list[Op] = [SpliceOp("/notes", [(250, 0, "hello world, this is")])]
    mutation = Mutation(mutation_id=ID + "1", collection="pages", record_id=ID + "2", ops=ops, base="120.a1b2c3d4", edited_at=f"{NOW}:0")
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
    entry = Entry(tenant_id="acme", seq=123, committed_at=NOW, stamp=clock.pack(NOW), edited_at=clock.pack(NOW), actor_id=ID + "3",
                  device_id=ID + "4", mutation_id=ID + "1", collection="pages", record_id=ID + "2", base=120, after=ID + "5",
                  sent_hash="a" * 64, ops=ops, undo=[SpliceOp("/notes", [(250, 20, "")])], request=Request("192.0.2.7", agent))
    salt = bytes(16)
    yield Cost("seal an entry (payload, header, both digests)", lambda: digest.seal(entry, digest.FIRST, salt, digest.payload(entry)), 10.0)
    yield Cost("sent_hash of a mutation", lambda: digest.sent_hash(salt, mutation))
    limits = Limits()
    yield Cost("decide a stamp", lambda: clock.decided(clock.parse(f"{NOW}:0"), offset_ms=0, now=NOW, seen=0, limits=limits))
    yield Cost("read a position", lambda: position.parse("120.a1b2c3d4"))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seconds", type=float, default=0.2, help="CPU seconds a round (default 0.2)")
    seconds: float = options.parse_args().seconds
    over = 0
    for part in (text_costs(random.Random(1)), apply_costs(), value_costs(), entry_costs()):
        for cost in part:
            took = microseconds(cost.work, seconds)
            aim = "" if cost.aim_us is None else f"   aim {cost.aim_us:,.1f}"
            over += cost.aim_us is not None and took > cost.aim_us
            print(f"{took:12,.2f} µs  {cost.name}{aim}", flush=True)
        print()
    print(f"{over} over their aim" if over else "all within their aims")
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
