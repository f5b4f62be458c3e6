"""Reads `vectors/*.json`, the cases that every implementation of Holdfast's core runs, and turns a list of them into pytest parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[2] / "vectors"


def cases(file: str, section: str) -> list[Any]:
    """The cases of one section, each under its name; an empty section is a mistake."""
    listed = json.loads((VECTORS / file).read_text(encoding="utf-8"))[section]
    assert listed, f"{file}: {section} holds no cases"
    return [pytest.param(case, id=case["name"]) for case in listed]
