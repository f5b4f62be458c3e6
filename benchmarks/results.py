"""`results/`: one JSON file with every sample, and RESULTS.md for people. Both are replaced by each run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figure import Figure, number

__all__ = ["write_results"]


def write_results(folder: Path, began: datetime, machine: dict[str, Any], figures: Sequence[Figure]) -> None:
    folder.mkdir(exist_ok=True)
    whole = {"began": began.isoformat(timespec="seconds"), "machine": machine, "figures": [figure.to_json() for figure in figures]}
    (folder / "results.json").write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    (folder / "RESULTS.md").write_text(_page(began, machine, figures), "utf-8")


def _page(began: datetime, machine: dict[str, Any], figures: Sequence[Figure]) -> str:
    changed = f" with {machine['changed_files']} changed files" if machine["changed_files"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    head = [
        "# Measured",
        "",
        "Written by `make bench`; the programs are in `benchmarks/`. Medians of the repetitions. All saves are durable (`FULL`), with",
        "sign-in, validation, merging, log, digest and history on; the load runs on the same cores.",
        "",
        f"{began:%d %B %Y, %H:%M} UTC, commit `{machine['commit']}`{changed}. {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {packages}.",
        "",
        "Targets of durable rates hold for a disk of 5,000 fdatasync/s and scale with it below that; the disk was probed beside each run.",
        "`loop` is the CPU time of a fixed loop in Python (how fast a core was at that moment; it doubles while neighbours are busy),",
        "`others` what else took of the machine's CPU in the worst repetition, the hypervisor included.",
        "Over 10 % a figure is a floor, and a target that is not reached is marked `disturbed`: it proves nothing.",
        "",
        "| | figure | measured | target here | fdatasync/s | per fdatasync | loop | others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(_row(figure) for figure in figures), "", *_costs(figures)]) + "\n"


def _row(figure: Figure) -> str:
    bound = "≤" if figure.at_most else "≥"
    ratio = f"{figure.per_fdatasync:.2f}" if figure.durable and not figure.at_most else ""
    verdict = "met" if figure.met else f"**{figure.verdict}**"
    return (f"| {verdict} | {figure.name} | **{number(figure.value)}** {figure.unit} "
            f"| {bound} {number(figure.goal)} | {number(figure.fdatasyncs)} | {ratio} | {figure.loop_ms:.1f} ms | {figure.others:.0%} |")


def _costs(figures: Sequence[Figure]) -> list[str]:
    lines = ["## Where the time goes", "",
             "CPU per counted thing (save, mutation, request, row, delivery) and the cores kept busy, by process.", "",
             "| figure | µs each | cores | beside it |", "|---|---|---|---|"]
    for figure in figures:
        each = ", ".join(f"{name} {micros:,.1f}" for name, micros in figure.microseconds().items())
        cores = ", ".join(f"{name} {share:.2f}" for name, share in figure.cores().items())
        facts = ", ".join(f"{name} {number(figure.fact(name))}" for name in figure.samples[0].facts)
        lines.append(f"| {figure.name} | {each} | {cores} | {facts} |")
    return lines
