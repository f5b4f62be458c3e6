"""Runs the measurements and writes `benchmarks/results/`: one JSON of everything, one readable page.

    python -m benchmarks                        everything (about ten minutes)
    python -m benchmarks --only saves --only resume --seconds 2 --repeat 1 --keep-results
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.bench import Bench
from benchmarks.disk import fdatasyncs_per_s
from benchmarks.figure import Figure
from benchmarks.idle import idle_memory
from benchmarks.listeners import fan_out
from benchmarks.machine import describe
from benchmarks.pushes import pushes
from benchmarks.replica import catching_up, editing, memory, opening, week_offline
from benchmarks.replica_door import small_door
from benchmarks.results import write_results
from benchmarks.resume import resume, snapshot
from benchmarks.saves import beside_handwritten, single_saves
from benchmarks.seed import Seed
from benchmarks.servers import PROJECT

__all__ = ["main"]

RESULTS = PROJECT / "benchmarks" / "results"
SCRATCH = PROJECT / "build"


MEASUREMENTS: dict[str, Callable[[Bench], list[Figure]]] = {
    "idle": idle_memory,
    "saves": lambda bench: beside_handwritten(bench, 32, 6_000.0),
    "saves-256": lambda bench: single_saves(bench, 256, 8_000.0),
    "pushes": pushes,
    "resume": resume,
    "snapshot": snapshot,
    "listeners": fan_out,
    "replica-edit": editing,
    "replica-open": opening,
    "replica-week": week_offline,
    "replica-catch-up": catching_up,
    "replica-memory": memory,
    "replica-door": small_door,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Just these.")
@click.option("--seconds", default=5.0, show_default=True, help="How long each repetition takes.")
@click.option("--repeat", default=3, show_default=True, help="Repetitions; the median counts.")
@click.option("--patience", default=10.0, show_default=True, help="How many seconds to wait for a quiet machine before each repetition.")
@click.option("--members", default=100, show_default=True, help="Members of the organisation, each with a token.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Disk to measure on; default: the project's.")
@click.option("--keep-results", is_flag=True, help="Leave benchmarks/results as it is.")
def main(only: tuple[str, ...], seconds: float, repeat: int, patience: float, members: int, folder: Path | None,
         keep_results: bool) -> None:
    """Measure how fast Holdfast is on this machine."""
    began = datetime.now(UTC)
    machine = describe(PROJECT)
    figures: list[Figure] = []
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder or SCRATCH, prefix="bench-") as made:
        ground = Path(made)
        click.echo(f"{machine['processor']}, {machine['cores']} cores, commit {machine['commit']}; "
                   f"{fdatasyncs_per_s(ground):,.0f} fdatasync/s")
        bench = Bench(ground, Seed.made(ground / "seed", members=members), seconds, repeat, patience, click.echo)
        for name in only or MEASUREMENTS:
            for figure in MEASUREMENTS[name](bench):
                click.echo(figure.line())
                figures.append(figure)
    missed = [f"{figure.name} ({figure.verdict})" for figure in figures if not figure.met]
    if not keep_results:
        write_results(RESULTS, began, machine, figures)
        click.echo(f"Written to {RESULTS.relative_to(PROJECT)}.")
    click.echo(f"{len(figures) - len(missed)} of {len(figures)} targets met." + (f" Missed: {', '.join(missed)}." if missed else ""))
