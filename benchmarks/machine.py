"""What the measurements ran on, and what else ran beside them.

CPU time is read from /proc: the machine's in all, and that of the processes named; the rest is other people's. `stolen` is what the
hypervisor gave to other machines.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["CpuUse", "Stopwatch", "describe", "loop_ms", "memory_bytes", "session_processes", "wait_until_quiet"]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
PACKAGES = ("apsw", "fastapi", "aiosqlite", "sqlalchemy", "starlette", "uvicorn", "uvloop", "httptools", "websockets", "msgspec")


LOOPS = 100_000
QUIET_SHARE = 0.08
QUIET_SECONDS = 1.0


def loop_ms() -> float:
    """CPU time of a fixed loop in Python: how fast a core is at this moment. On shared hardware it doubles while neighbours are busy."""
    times = []
    for _ in range(5):
        began = time.process_time()
        total = 0
        for number in range(LOOPS):
            total += number & 7
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times)


def wait_until_quiet(seconds_max: float) -> None:
    """Wait until everybody together, but us, has used little of the machine for a second; at most so long."""
    give_up = time.perf_counter() + seconds_max
    while time.perf_counter() < give_up:
        watch = Stopwatch({})
        time.sleep(QUIET_SECONDS)
        use = watch.stop()
        if use.others + use.stolen < QUIET_SHARE:
            return


def session_processes(session: int) -> list[int]:
    """The processes of a session: a server started with `start_new_session`, and all it started."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[3]) == session:
                found.append(int(entry.name))
    return sorted(found)


def memory_bytes(processes: list[int]) -> int:
    """Memory of the processes together, shared pages counted once among those who share them (PSS)."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


@dataclass(frozen=True)
class CpuUse:
    """CPU during a measurement. `cores` maps the name of a measured process to the cores it kept busy; `others` and `stolen` are shares
    of the whole machine."""

    seconds: float
    cores: dict[str, float]
    others: float
    stolen: float

    def microseconds(self, count: int) -> dict[str, float]:
        """CPU time of each measured process per counted thing."""
        return {name: round(cores * self.seconds / max(count, 1) * 1e6, 1) for name, cores in self.cores.items()}


class Stopwatch:
    """Measures CPU between its making and `stop`. `named`: what to call each process that belongs to the measurement."""

    def __init__(self, named: dict[int, str]) -> None:
        self._named = {os.getpid(): "load", **named}
        self._began = time.perf_counter()
        self._machine = _machine_ticks()
        self._processes = {process: _process_ticks(process) for process in self._named}

    def stop(self) -> CpuUse:
        seconds = time.perf_counter() - self._began
        busy, stolen = (now - then for now, then in zip(_machine_ticks(), self._machine, strict=True))
        cores: dict[str, float] = {}
        for process, name in self._named.items():
            used = (_process_ticks(process) - self._processes[process]) / TICKS_PER_S / seconds
            cores[name] = cores.get(name, 0.0) + used
        others = max(0.0, busy / TICKS_PER_S / seconds - sum(cores.values()))
        return CpuUse(seconds, {name: round(used, 3) for name, used in cores.items()}, round(others / CORES, 3),
                      round(stolen / TICKS_PER_S / seconds / CORES, 3))


def describe(project: Path) -> dict[str, Any]:
    """Commit, processor, versions."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in processors if line.startswith("model name")), platform.machine())
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "commit": _git(project, "rev-parse", "--short=12", "HEAD"),
        "changed_files": len(_git(project, "status", "--porcelain", "--", "src", "benchmarks").splitlines()),
        "cores": CORES,
        "processor": model,
        "memory_gib": round(memory_kb / 2**20),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine_ticks() -> tuple[int, int]:
    """(busy, stolen) of all cores."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return user + nice + system + irq + softirq, steal


def _process_ticks(process: int) -> int:
    fields = _stat(process)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _stat(process: int) -> list[str]:
    """The fields of /proc/…/stat behind the program's name; empty if the process is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
