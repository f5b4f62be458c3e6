"""JSON Schema and TypeScript say what the server takes and gives, made from the same declarations. Promise 5 begins there: a client that
knows the form is not surprised by a refusal."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import InvalidValue, Record, compile_schema, json_schema, tenant, typescript
from holdfast.core.schema import Schema
from holdfast.model.describe import describe
from holdfast.model.jsonschema import field_schema
from tests.model.records import ALL, ID, OTHER_ID

SCHEMA = compile_schema(ALL)
EVERYTHING = SCHEMA.collections["everything"]
COMPILER = "HOLDFAST_TSC"


def judge(mode: Any, name: str = "everything") -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json_schema(SCHEMA.collections[name], mode=mode), validate_formats=True)


def as_read() -> dict[str, Any]:
    stamps = {"created_by": ID, "created_at": "2026-11-20T13:58:00.000Z", "updated_at": "2026-11-20T13:58:00.000Z"}
    return {name: field.default for name, field in EVERYTHING.fields.items()} | stamps


@pytest.mark.parametrize("name", sorted(SCHEMA.collections))
@pytest.mark.parametrize("mode", ["record", "create", "patch"])
def test_every_schema_is_a_valid_one(name: str, mode: Any) -> None:
    jsonschema_rs.meta.validate(json_schema(SCHEMA.collections[name], mode=mode))


def test_a_record_as_read_has_all_its_fields() -> None:
    assert judge("record").is_valid(as_read())
    for name in as_read():
        assert not judge("record").is_valid({key: value for key, value in as_read().items() if key != name})


def test_a_create_needs_what_has_no_default_and_takes_nothing_else() -> None:
    assert judge("create").is_valid({})
    assert judge("create", "step_responses").is_valid({"session_id": ID, "step_number": 1})
    assert not judge("create", "step_responses").is_valid({"session_id": ID})
    assert not judge("create").is_valid({"unheard": 1})


def test_nobody_gives_what_the_server_fills() -> None:
    for mode in ("create", "patch"):
        assert not judge(mode).is_valid({"created_by": OTHER_ID})


def test_a_change_empties_what_is_optional_and_leaves_what_never_changes() -> None:
    assert judge("patch").is_valid({"phone": None, "level": "high"})
    assert not judge("patch").is_valid({"number": None})
    assert not judge("patch").is_valid({"origin": "x"})
    assert not judge("patch", "step_responses").is_valid({"step_number": 2})


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats(-1e6, 1e6)
    | st.text(max_size=5)
    | st.sampled_from(
        [
            "2026-11-20",
            "2026-02-30",
            "2026-11-20T13:58:00Z",
            "2026-11-20T13:58:00",
            ID,
            ID.upper(),
            "12.34",
            "12.3",
            "12.345",
            "-0",
            "low",
            "007",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(name=st.sampled_from([name for name, field in EVERYTHING.fields.items() if field.check is not None]), value=values)
def test_a_fields_schema_and_its_check_agree(name: str, value: Any) -> None:
    field = EVERYTHING.fields[name]
    assert field.check is not None
    try:
        field.check(value)
        taken = True
    except InvalidValue:
        taken = False
    said = jsonschema_rs.Draft202012Validator(field_schema(field, mode="create"), validate_formats=True).is_valid(value)
    assert said == taken


@given(name=st.sampled_from([name for name, field in EVERYTHING.fields.items() if field.check is not None]), value=values)
def test_what_a_check_makes_fits_the_schema_of_what_is_read(name: str, value: Any) -> None:
    field = EVERYTHING.fields[name]
    assert field.check is not None
    try:
        made = field.check(value)
    except InvalidValue:
        return
    assert jsonschema_rs.Draft202012Validator(field_schema(field, mode="record"), validate_formats=True).is_valid(made)


def test_the_description_is_plain_json_without_code() -> None:
    said = describe(SCHEMA)
    assert said["digest"] == SCHEMA.digest
    assert said["collections"]["step_responses"]["key"] == ["session_id", "step_number"]
    assert said["collections"]["estimates"]["fields"]["base_cost"] == {"kind": "money", "optional": True, "merge": "ask", "scale": 2}
    assert said["collections"]["workshops"]["read"] == {"any": [{"own": "facilitator_id"}, {"role": ["owner"]}]}


# -- TypeScript ------------------------------------------------------------------------------------------------------------

USE = """
import type { Collections, CollectionName, Estimate, EstimateCreate, EverythingPatch } from "./schema";
import { schemaDigest } from "./schema";
const create: EstimateCreate = { project: "x", status: "won", cost_breakdown: { roof: [1, null, { a: true }] } };
const patch: EverythingPatch = { phone: null, tags: ["a"] };
declare const estimate: Estimate;
const cost: string | null = estimate.base_cost;
const name: CollectionName = "step_responses";
const key: Collections["step_responses"]["key"] = ["x", 3];
const digest: string = schemaDigest;
export { create, patch, cost, name, key, digest };
"""

WRONG = [
    "import type { EstimateCreate } from './schema'; export const a: EstimateCreate = {};",
    "import type { EstimateCreate } from './schema'; export const a: EstimateCreate = { project: 'x', status: 'lost?' };",
    "import type { EverythingPatch } from './schema'; export const a: EverythingPatch = { number: null };",
    "import type { EverythingPatch } from './schema'; export const a: EverythingPatch = { origin: 'x' };",
    "import type { Everything } from './schema'; declare const e: Everything; e.created_by = 'me';",
    "import type { Collections } from './schema'; export const a: Collections['chat_messages']['patch'] = {};",
]


def compiler() -> list[str]:
    """The TypeScript compiler: what HOLDFAST_TSC names, the project's own, or one on the path."""
    own = Path(__file__).resolve().parents[2] / "web" / "node_modules" / ".bin" / "tsc"
    found = os.environ.get(COMPILER) or (str(own) if own.is_file() else None) or shutil.which("tsc")
    if found is None:
        pytest.skip(f"no TypeScript compiler: {COMPILER} names none, none is installed under web/, none is on the path")
    options = "--strict --noEmit --exactOptionalPropertyTypes --noUncheckedIndexedAccess --target es2022 --module es2022"
    return [found, *options.split(), "--moduleResolution", "bundler"]


def compiled(folder: Path, schema: Schema, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "schema.ts").write_text(typescript(schema), "utf-8")
    (folder / "use.ts").write_text(program, "utf-8")
    return subprocess.run([*compiler(), "use.ts"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_types_compile_strictly_and_are_used_as_meant(tmp_path: Path) -> None:
    made = compiled(tmp_path, SCHEMA, USE)
    assert made.returncode == 0, made.stdout


def test_the_types_refuse_what_the_server_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "schema.ts").write_text(typescript(SCHEMA), "utf-8")
    for number, program in enumerate(WRONG):
        (tmp_path / f"wrong{number}.ts").write_text(program, "utf-8")
    files = [f"wrong{number}.ts" for number in range(len(WRONG))]
    made = subprocess.run([*compiler(), *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert [name for name in files if f"{name}(" not in made.stdout] == []
    assert "schema.ts(" not in made.stdout


def test_every_collection_has_its_types() -> None:
    text = typescript(SCHEMA)
    for collection in SCHEMA.collections.values():
        assert f"export interface {collection.record} {{" in text
        assert f"export interface {collection.record}Create {{" in text
        assert f"  {collection.name}: {{ record: {collection.record};" in text
    assert "export interface MessagePatch" not in text
    assert "/** One priced version of a roofing job. */" in text


def test_prose_cannot_break_out_of_a_comment() -> None:

    odd = type(
        "Odd",
        (Record,),
        {"__doc__": "ends */ here", "__annotations__": {"name": str}, "__module__": __name__},
        collection="odds",
        access=tenant,
    )
    assert "ends */ here" not in typescript(compile_schema([odd]))
