"""Real data for the tests of the core: the full sets from the folder that HOLDFAST_CORPUS names, else the excerpts in the project."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
EXCERPTS = PROJECT / "tests" / "data" / "core"


def folder() -> Path | None:
    named = os.environ.get("HOLDFAST_CORPUS")
    return Path(named) if named else None


def text_merges() -> Iterator[dict[str, str]]:
    """{base, ours, theirs, merged}: two people's versions of one text, and what came of them."""
    full = folder()
    path = EXCERPTS / "text-merges.jsonl.gz" if full is None else full / "merges" / "text-friendsforever.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def text_merges_expected() -> int:
    return 40 if folder() is None else 673


def two_writers() -> dict[str, Any]:
    """The recorded session of two people in one text (`agent`, `parents`, `patches` per transaction; `endContent`)."""
    full = folder()
    path = PROJECT / "examples" / "data" / "two-writers.json.gz" if full is None else full / "typing" / "friendsforever.concurrent.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        trace: dict[str, Any] = json.load(stream)
    return trace


def json_texts(kind: str) -> dict[str, bytes]:
    """JSONTestSuite: file name -> bytes. `test_parsing`: y_ must be read, n_ must not, i_ is free; `test_transform`: readers differ."""
    full = folder()
    if full is None:
        encoded: dict[str, str] = json.loads((EXCERPTS / "json-parsing.json").read_text("utf-8"))[kind]
        return {name: base64.b64decode(text) for name, text in encoded.items()}
    return {path.name: path.read_bytes() for path in sorted((full / "bad-input" / "json-parsing" / kind).iterdir())}


def canonical_texts() -> dict[str, tuple[str, str]]:
    """The test data of RFC 8785: name -> (input, canonical form)."""
    full = folder()
    if full is None:
        cases: dict[str, dict[str, str]] = json.loads((EXCERPTS / "jcs.json").read_text("utf-8"))
        return {name: (case["input"], case["output"]) for name, case in cases.items()}
    data = full / "bad-input" / "jcs" / "testdata"
    return {path.name: (path.read_text("utf-8"), (data / "output" / path.name).read_text("utf-8")) for path in (data / "input").iterdir()}


def naughty_strings() -> list[str]:
    full = folder()
    path = EXCERPTS / "naughty-strings.json" if full is None else full / "bad-input" / "blns" / "blns.json"
    strings: list[str] = json.loads(path.read_text("utf-8"))
    return strings
