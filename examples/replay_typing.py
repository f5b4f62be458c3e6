"""Recorded typing, saved through a server that is killed again and again.

    make demo-replay
    .venv/bin/python examples/replay_typing.py TRACE --devices 3 --kills 30 --seed 7

Takes a recorded editing trace (`.json` or `.json.gz`; see examples/data/README.md for the form), makes auto-saves of its keystrokes,
and sends them from one or several devices over HTTP to a real `holdfast serve`, which is meanwhile killed with SIGKILL and started
again. Replies are thrown away, mutations are sent twice. At the end it proves that nothing is lost and nothing is there twice, and
says how many bytes the log takes for a keystroke. Exit code 0: all of it held; 1: the text says what did not; 2: it could not run.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from replay.device import STOPPED, Board, Device, ReplayFailed
from replay.proof import LOG_BYTES_MAX, LogSize, Proof, log_size, prove
from replay.server import Server, ServerFailed
from replay.trace import Save, Trace, load, saves_of, spread
from replay.trouble import Trouble

EXCERPT = Path(__file__).resolve().parent / "data" / "one-writer.json.gz"
TENANT = "replay"
KEYSTROKES_BEFORE_MOVING = 150
LINE_EVERY_SECONDS = 5.0
"""Where no terminal shows the line that moves."""


@dataclass
class Run:
    """One replay under way."""

    trace: Trace
    lines: list[list[Save]]
    server: Server
    trouble: Trouble
    board: Board
    devices: list[Device]
    token: str
    record_id: str
    sizes: list[LogSize]

    @property
    def saves(self) -> int:
        return sum(map(len, self.lines))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("trace", nargs="?", type=Path, default=EXCERPT, help="a recorded editing trace (default: the excerpt)")
    parser.add_argument("--devices", type=int, default=2, help="devices between which one writer changes (a trace of several has one each)")
    parser.add_argument("--idle-seconds", type=float, default=2.0, help="a pause that long ends a save")
    parser.add_argument("--longest-seconds", type=float, default=10.0, help="a save spans at most that long")
    parser.add_argument("--keystrokes", type=int, help="only the first so many keystrokes (traces of one writer)")
    parser.add_argument("--batch", type=int, default=1, help="saves in one push, at most")
    parser.add_argument("--kills", type=int, default=12, help="how often the server is killed (some restarts are killed once more)")
    parser.add_argument("--drop", type=float, default=0.05, help="share of replies that are thrown away")
    parser.add_argument("--repeat", type=float, default=0.05, help="share of pushes that are sent twice")
    parser.add_argument("--log-bytes-max", type=float, default=LOG_BYTES_MAX, help="bytes that the log may take for a keystroke")
    parser.add_argument("--seed", type=int, help="the same seed makes the same decisions (default: a new one, which is printed)")
    parser.add_argument("--data", type=Path, help="data folder to use and keep (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def prepare(given: argparse.Namespace, seed: int, data: Path) -> Run:
    """Trace, accounts and a running server. Raises ValueError for what is no trace, ServerFailed for a server that does not start."""
    choice = random.Random(seed)
    trace = load(given.trace, keystrokes_max=given.keystrokes)
    trace = spread(trace, given.devices, keystrokes_mean=KEYSTROKES_BEFORE_MOVING, choice=choice)
    lines = saves_of(trace, idle_ms=round(given.idle_seconds * 1000), longest_ms=round(given.longest_seconds * 1000))
    server = Server(data)
    server.command("tenant", "create", TENANT)
    email = "writer@example.org"
    password = str(uuid.UUID(int=choice.getrandbits(128)))
    server.command("user", "create", email, "--tenant", TENANT, "--role", "owner", "--password-stdin", given=password)
    token = server.command("token", "create", "--user", email, "--tenant", TENANT)
    server.start()
    run, board = uuid.UUID(int=choice.getrandbits(128)), Board()
    pushes = sum(-(-len(line) // given.batch) for line in lines)
    trouble = Trouble(seed=seed, kills=given.kills, pushes_expected=pushes, drop_share=given.drop, repeat_share=given.repeat,
                      kill=server.kill_and_restart)
    record_id = str(uuid.uuid5(run, "page"))
    devices = [Device(number, run=run, port=server.port, token=token, record_id=record_id, board=board, trouble=trouble, batch=given.batch)
               for number in range(trace.devices)]
    return Run(trace, lines, server, trouble, board, devices, token, record_id, [log_size(server, board)])


def type_everything(run: Run) -> None:
    """All devices at once, each in a thread of its own. Raises the first failure of any; then none of them goes on."""
    failures: list[BaseException] = []

    def work(device: Device, saves: list[Save]) -> None:
        try:
            device.type(saves)
        except BaseException as failure:
            failures.append(failure)
            run.board.stop()

    run.devices[0].create(run.trace.start)
    run.board.pause_at = run.saves // 2
    threads = [threading.Thread(target=work, args=pair) for pair in zip(run.devices, run.lines, strict=True)]
    for thread in threads:
        thread.start()
    try:
        wait_for(threads, run)
    except BaseException:
        run.board.stop()
        raise
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise next((failure for failure in failures if str(failure) != STOPPED), failures[0])
    run.trouble.kill_what_is_left()


def wait_for(threads: list[threading.Thread], run: Run) -> None:
    """Shows how it goes, and measures the log in the middle."""
    began = shown = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.1)
        if run.board.paused:
            with run.board.still():
                run.sizes.append(log_size(run.server, run.board))
        if sys.stderr.isatty() or time.monotonic() - shown > LINE_EVERY_SECONDS:
            shown = time.monotonic()
            show_progress(run, shown - began)
    show_progress(run, time.monotonic() - began, last=True)


def show_progress(run: Run, seconds: float, *, last: bool = False) -> None:
    acknowledged = max(0, len(run.board.acknowledged) - 1)
    line = (f"{acknowledged:6,} of {run.saves:,} saves acknowledged · {run.server.kills} kills · {run.trouble.drops} replies dropped"
            f" · {run.trouble.repeats} pushes sent twice · {seconds:5.1f} s")
    if sys.stderr.isatty():
        print(f"\r{line}", end="\n" if last else "", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def report(run: Run, proof: Proof, seed: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"trace": run.trace.name, "seed": seed, **proof.facts(), "kills": run.server.kills, "drops": run.trouble.drops,
                          "repeats": run.trouble.repeats}, indent=2))
        return
    for holds, sentence in proof.lines:
        print(f"{'held  ' if holds else 'BROKEN'}  {sentence}")


def main() -> int:
    given = options().parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"{given.trace.name}, seed {seed} (again: --seed {seed})", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="replay-") as temporary:
        data = given.data or Path(temporary) / "data"
        try:
            run = prepare(given, seed, data)
        except (OSError, ValueError, ServerFailed) as failure:
            print(f"Could not run: {failure}", file=sys.stderr)
            return 2
        try:
            type_everything(run)
            proof = prove(run.trace, run.lines, run.board, run.devices, run.server, token=run.token, record_id=run.record_id,
                          sizes=run.sizes, log_bytes_max=given.log_bytes_max)
        except (ReplayFailed, ServerFailed) as failure:
            print(f"BROKEN  {failure}\nRun it again with --seed {seed}.", file=sys.stderr)
            return 1
        finally:
            for device in run.devices:
                device.hang_up()
            run.server.stop()
        report(run, proof, seed, given.json)
        return 0 if proof.holds else 1


if __name__ == "__main__":
    sys.exit(main())
