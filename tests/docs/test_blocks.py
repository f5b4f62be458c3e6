"""What the documents show works as printed. Defends none of the promises alone, and the trust in all of them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import KNOWN, PROJECT, blocks_of

DOCUMENTS = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])


def name_of(document: Path) -> str:
    return document.relative_to(PROJECT).as_posix()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block_is_of_a_kind_that_is_run_or_plainly_text(document: Path) -> None:
    unknown = [(block.line, block.language) for block in blocks_of(document) if block.language not in KNOWN]
    assert not unknown, f"{name_of(document)}: no way to run {unknown}; take text for what is not code"


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if {block.language for block in blocks_of(one)} & {"python", "sh", "json"}],
                         ids=name_of)
def test_the_blocks_of_a_document_run_as_printed(document: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None and any("curl " in block.code for block in blocks_of(document) if block.language == "sh"):
        pytest.skip("curl is not installed, and this document shows calls with it")
    home = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run([sys.executable, "-W", "error", "-m", "tests.docs.blocks", str(document), free_port()], cwd=tmp_path,
                          env={**home, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
