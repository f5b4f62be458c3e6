"""The documents say what the code does: reference pages equal what the code renders, links lead somewhere, blocks name their language."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from docs.reference.generate import LIMIT_MEANINGS, PAGES, classes, commands_below, error_meanings
from holdfast.cli import main as main_command
from holdfast.core.errors import HoldfastError
from holdfast.core.limits import Limits
from tests.tidy.source import PROJECT, project_files

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#\s]+)(#[^)]*)?\)")
MAKE = re.compile(r"(?:^|`)make ([a-z][a-z-]*)", re.MULTILINE)
HOLDFAST = re.compile(r"(?:^|`)(?:\.venv/bin/)?holdfast ((?:[a-z]+ ?)+)", re.MULTILINE)
FENCE = re.compile(r"^(```+)(.*)$", re.MULTILINE)


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_is_what_the_code_says(page: str) -> None:
    written = (PROJECT / "docs" / "reference" / page).read_text("utf-8")
    assert written == PAGES[page](), f"docs/reference/{page} is out of date: run make docs"


def test_every_error_stands_in_the_tree_at_the_top_of_its_file() -> None:
    drawn = set(error_meanings())
    exist = {error.__name__ for _, error in classes(HoldfastError)} - {"HoldfastError"}
    assert drawn == exist


def test_every_error_has_a_code_of_its_own_and_says_what_to_do() -> None:
    leaves = [error for _, error in classes(HoldfastError) if not error.__subclasses__()]
    assert len({error.code for error in leaves}) == len(leaves)
    assert not [error.__name__ for error in leaves if not error.default_hint]
    assert not [error.__name__ for error in leaves if not 400 <= error.status < 600]


def test_every_limit_is_explained_and_names_its_bound() -> None:
    names = {one.name for one in dataclasses.fields(Limits)}
    assert names == set(LIMIT_MEANINGS)
    assert not [name for name in names if not name.endswith("_max")]


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_a_link_within_the_project_leads_somewhere(document: Path) -> None:
    targets = [found[1] for found in LINK.finditer(document.read_text("utf-8"))]
    here = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert not [target for target in here if not (document.parent / target).exists()]


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_a_block_of_code_names_its_language(document: Path) -> None:
    fences = FENCE.findall(document.read_text("utf-8"))
    assert len(fences) % 2 == 0, "a block is not closed"
    assert not [number for number, (_, language) in enumerate(fences[::2]) if not language.strip()]


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_a_document_has_one_title(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1 or not text.strip()


def test_contributing_stays_short() -> None:
    assert (PROJECT / "CONTRIBUTING.md").read_text("utf-8").count("\n") < 80


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE))


def commands() -> set[str]:
    return {" ".join(name) for name, _ in commands_below(main_command)} | {name for name, _ in main_command.commands.items()}


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_a_command_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    assert not set(MAKE.findall(text)) - make_targets()
    named = {found.strip() for found in HOLDFAST.findall(text)}
    assert not [one for one in named if one not in commands() and one.split()[0] not in commands()]


def test_every_target_that_people_call_is_explained() -> None:
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## ", makefile, re.MULTILINE))
    assert explained == make_targets()
    assert explained >= {"setup", "run", "test", "soak", "check", "bench", "demo-replay"}
