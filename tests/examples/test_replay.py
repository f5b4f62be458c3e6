"""The main job, small: recorded typing through a real server that is killed. Defends P1 (kept), P2 (once), P3 (nothing dropped); the
full recordings run in `make soak`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.source import PROJECT

PROGRAM = PROJECT / "examples" / "replay_typing.py"
DATA = PROJECT / "examples" / "data"
CORPUS = os.environ.get("HOLDFAST_CORPUS")


def replay(*arguments: str, seed: int) -> dict[str, Any]:
    """Run the program; what it proved. A failure says how to run it again."""
    command = [sys.executable, str(PROGRAM), *arguments, "--seed", str(seed), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"again: {' '.join(command)}\n{done.stdout}\n{done.stderr}"
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_what_one_writer_typed_on_two_devices_is_all_there_after_kills() -> None:
    # A few pages more or less are much for so few keystrokes; the bound itself is proved on the whole excerpt.
    facts = replay("--keystrokes", "1500", "--kills", "3", "--log-bytes-max", "80", seed=random.randrange(10**6))
    assert facts["kills"] >= 3
    assert facts["entries"] == facts["saves"] + 1


def test_what_two_writers_typed_at_once_merges_to_the_recorded_text_after_kills() -> None:
    # Each save of this recording ends where the other's typing came in: 5 keystrokes on average.
    facts = replay(str(DATA / "two-writers.json.gz"), "--kills", "3", "--batch", "7", "--log-bytes-max", "60", seed=random.randrange(10**6))
    assert facts["kills"] >= 3
    assert facts["outcomes"].get("merged", 0) > 0


def test_what_is_no_trace_ends_with_code_2(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    done = subprocess.run([sys.executable, str(PROGRAM), str(other)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no editing trace" in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("devices", [1, 3])
def test_the_whole_excerpt(devices: int, seed: int) -> None:
    replay("--kills", "30", "--devices", str(devices), seed=seed)


@pytest.mark.soak
@pytest.mark.skipif(CORPUS is None, reason="the full recordings lie in the corpus (HOLDFAST_CORPUS)")
@pytest.mark.parametrize("batch", [1, 7, 50])
@pytest.mark.parametrize("name", ["sveltecomponent", "json-crdt-blog-post", "friendsforever.concurrent"])
def test_the_full_recordings(name: str, batch: int) -> None:
    replay(str(Path(CORPUS or "") / "typing" / f"{name}.json.gz"), "--kills", "40", "--batch", str(batch), "--devices", "3",
           seed=batch)
