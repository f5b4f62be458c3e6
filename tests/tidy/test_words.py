"""What no committed file may hold: places of one machine, addresses of registries, promises to finish later, secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.source import PROJECT, project_files

# Written in parts, so that this file does not hold them itself.
PLACES = ["wo" + r"rk/(?:main|shared|\.library)", "ro" + "ot/", "home/" + r"\w+", "tm" + "p/brief", "op" + "t/pypi", "op" + "t/wheels"]
HOSTS = ["py" + r"pi\.org", "files\\.python" + "hosted", "registry\\.np" + "mjs", "crates" + r"\.io", "proxy\\.gol" + "ang"]
MACHINE_PATHS = re.compile(r"(?<![\w.<$}*-])/(?:" + "|".join(PLACES) + ")")
CORPUS_PATH = re.compile("/sha" + "red" + r"\b")
REGISTRIES = re.compile("|".join(HOSTS))
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE" + r" KEY-----|\bghp_\w{20,}|\bAKIA[0-9A-Z]{16}\b")
NAMES_THE_CORPUS = ".ci/run"


def text_files() -> list[Path]:
    return [path for path in project_files() if b"\0" not in path.read_bytes()[:4096]]


def hits(path: Path, pattern: re.Pattern[str]) -> list[str]:
    text = path.read_text("utf-8", errors="replace")
    return [f"{path.relative_to(PROJECT)}:{text.count(chr(10), 0, found.start()) + 1}: {found.group()}" for found in pattern.finditer(text)]


@pytest.mark.parametrize(("pattern", "why"), [
    (MACHINE_PATHS, "a path of one machine: make it relative, or an argument"),
    (REGISTRIES, "the address of a package registry: whoever installs chooses it"),
    (SECRETS, "a secret"),
], ids=["machine paths", "registries", "secrets"])
def test_no_file_holds(pattern: re.Pattern[str], why: str) -> None:
    found = [hit for path in text_files() for hit in hits(path, pattern)]
    assert not found, f"{why}:\n" + "\n".join(found)


def test_only_the_pipeline_names_the_corpus_folder() -> None:
    found = [hit for path in text_files() if path.relative_to(PROJECT).as_posix() != NAMES_THE_CORPUS for hit in hits(path, CORPUS_PATH)]
    assert not found, "tests take the corpus from HOLDFAST_CORPUS:\n" + "\n".join(found)


def test_nothing_is_left_for_later() -> None:
    found = [hit for path in text_files() if path.suffix in {".py", ".ts", ".tsx", ".md", ".toml"} or path.name == "Makefile"
             for hit in hits(path, UNFINISHED)]
    assert not found, "\n".join(found)


def test_the_locks_pin_every_package_by_hash_and_name_no_place() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (PROJECT / name).read_text("utf-8")
        pinned = re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        required = re.findall(r"^[a-z0-9][^\s#]*", text, re.MULTILINE)
        assert len(pinned) == len(required) > 10, f"{name}: {set(required) - set(pinned)}"
        assert not re.search(r"://|^-|--(extra-)?index|find-links|trusted-host", text, re.MULTILINE), name
