"""What must hold at the end, asked of the server from outside, and of its files once it is stopped."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from replay.device import CREATION, Board, Device, ReplayFailed
from replay.server import Server, ServerFailed
from replay.trace import Save, Trace

__all__ = ["FLAT_FACTOR_MAX", "LOG_BYTES_MAX", "LogSize", "Proof", "log_size", "prove"]

LOG_BYTES_MAX = 40.0
"""For a keystroke, at auto-saves of 2 s idle or 10 s at most: an entry has a fixed part, so saves of a few keystrokes each take more."""

FLAT_FACTOR_MAX = 1.25
SAVES_TO_TELL_MIN = 100
"""Of fewer saves the pages of the file say more than the entries in them."""


@dataclass(frozen=True)
class LogSize:
    """How many bytes the log takes, and what had been acknowledged by then: keystrokes, saves, bytes of text put in and taken out."""

    log_bytes: int
    keystrokes: int = 0
    saves: int = 0
    typed_bytes: int = 0

    def since(self, before: LogSize) -> LogSize:
        return LogSize(self.log_bytes - before.log_bytes, self.keystrokes - before.keystrokes, self.saves - before.saves,
                       self.typed_bytes - before.typed_bytes)

    @property
    def for_a_keystroke(self) -> float:
        return self.log_bytes / max(1, self.keystrokes)

    @property
    def beside_the_text(self) -> float:
        """Bytes of one save's entry that are not what was typed: what must not grow with the text."""
        return (self.log_bytes - self.typed_bytes) / max(1, self.saves)


@dataclass
class Proof:
    """Sentences, each with whether it holds."""

    lines: list[tuple[bool, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(holds for holds, _ in self.lines)

    def state(self, holds: bool, sentence: str) -> None:
        self.lines.append((holds, sentence))

    def facts(self) -> dict[str, Any]:
        return {"holds": self.holds, "proof": [{"holds": holds, "what": sentence} for holds, sentence in self.lines], **self.figures}


def prove(trace: Trace, lines: list[list[Save]], board: Board, devices: list[Device], server: Server, *, token: str, record_id: str,
          sizes: list[LogSize], log_bytes_max: float) -> Proof:
    """Ask everything. Stops the server before it looks at the files. Raises ReplayFailed or ServerFailed if it cannot ask."""
    proof = Proof()
    ask = _asking(server.port, token)
    text = ask(f"/v1/records/pages/{record_id}")["fields"]["body"]
    proof.state(text == trace.end, f"the text on the server is the recorded one ({len(text):,} code points{_differs(text, trace.end)})")
    shown = [device.catch_up() for device in devices]
    proof.state(all(one == trace.end for one in shown), f"every device that follows the feed shows it too ({len(shown)} devices)")
    _prove_history(proof, lines, board, devices, _history(ask, record_id))
    server.stop()
    _prove_files(proof, server)
    _prove_size(proof, [*sizes, log_size(server, board)], log_bytes_max)
    return proof


def _prove_history(proof: Proof, lines: list[list[Save]], board: Board, devices: list[Device], history: list[dict[str, Any]]) -> None:
    made = sum(map(len, lines)) + 1                     # and the mutation that made the record
    acknowledged = board.acknowledged
    entry_of = {entry["mutation_id"]: entry for entry in history}
    lost = [one for mutation_id, one in acknowledged.items() if entry_of.get(mutation_id, {}).get("seq") != one.seq]
    proof.state(len(acknowledged) == made, f"every save was acknowledged ({len(acknowledged) - 1:,} of {made - 1:,})")
    proof.state(not lost, f"every acknowledged save is in the history under the number it was acknowledged with ({len(lost)} are not)")
    twice = [mutation_id for mutation_id, count in Counter(entry["mutation_id"] for entry in history).items() if count > 1]
    proof.state(not twice and len(history) == made, f"none is there twice, and nothing else is there ({len(history):,} entries)")
    broken = sum(not _in_order(device, board, history) for device in devices)
    proof.state(not broken, "the saves of each device stand in the order in which they were made")
    proof.figures |= {"saves": made - 1, "entries": len(history), "outcomes": Counter(one.outcome for one in acknowledged.values())}


def _in_order(device: Device, board: Board, history: list[dict[str, Any]]) -> bool:
    """The history comes newest first."""
    numbers = [board.saves[entry["mutation_id"]].number for entry in history
               if entry["mutation_id"] in board.saves and board.saves[entry["mutation_id"]].device == device.number]
    return numbers == sorted(numbers, reverse=True) and (not numbers or numbers[-1] in (CREATION, 0))


def _prove_files(proof: Proof, server: Server) -> None:
    try:
        verified = server.facts("verify")
        proof.state(True, "holdfast verify: the digest chain, the tables against a replay of the log, SQLite's integrity")
        proof.figures["verify"] = verified
    except ServerFailed as failure:
        proof.state(False, f"holdfast verify: {failure}")


def _prove_size(proof: Proof, sizes: list[LogSize], log_bytes_max: float) -> None:
    """`sizes`: before the first keystroke, about the middle, at the end. What an empty log takes is not counted."""
    whole = sizes[-1].since(sizes[0])
    proof.state(whole.for_a_keystroke <= log_bytes_max, f"the log takes {whole.for_a_keystroke:.1f} bytes for a keystroke "
                f"({log_bytes_max:.0f} at most; {whole.keystrokes / max(1, whole.saves):.1f} keystrokes make a save)")
    proof.figures |= {"keystrokes": whole.keystrokes, "log_bytes": whole.log_bytes, "typed_bytes": whole.typed_bytes,
                      "log_bytes_for_a_keystroke": round(whole.for_a_keystroke, 2)}
    if len(sizes) > 2 and whole.saves >= SAVES_TO_TELL_MIN:
        early, late = sizes[1].since(sizes[0]).beside_the_text, sizes[2].since(sizes[1]).beside_the_text
        proof.state(late <= early * FLAT_FACTOR_MAX, "it does not grow with the text: beside what was typed a save takes "
                    f"{early:.0f} bytes up to the middle, {late:.0f} after it")
        proof.figures |= {"bytes_beside_the_text_first_half": round(early, 1), "bytes_beside_the_text_second_half": round(late, 1)}


def log_size(server: Server, board: Board) -> LogSize:
    """What the log takes now. Asked of `holdfast doctor`, which reads beside a running server."""
    log_bytes = server.facts("doctor")["sizes"]["log"]
    saves = [board.saves[mutation_id] for mutation_id in list(board.acknowledged)]
    return LogSize(log_bytes, sum(save.keystrokes for save in saves), len(saves), sum(_typed_bytes(save) for save in saves))


def _typed_bytes(save: Save) -> int:
    return sum(len(inserted.encode()) + deleted for _, deleted, inserted in save.edits)


def _history(ask: Any, record_id: str) -> list[dict[str, Any]]:
    """All entries about the record, newest first, page by page."""
    entries: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = ask(f"/v1/records/pages/{record_id}/history?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
        entries += page["entries"]
        cursor = page["cursor"]
        if cursor is None:
            return entries


def _asking(port: int, token: str) -> Any:
    def ask(path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ReplayFailed(f"GET {path} answered {response.status}: {content[:500].decode('utf-8', 'replace')}")
        return json.loads(content)
    return ask


def _differs(text: str, wanted: str) -> str:
    if text == wanted:
        return ""
    at = next((place for place, (one, other) in enumerate(zip(text, wanted, strict=False)) if one != other), min(len(text), len(wanted)))
    return f", but the recorded one has {len(wanted):,} and they part at {at:,}"
