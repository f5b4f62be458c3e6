"""Limits, each with a name, a unit and a default. A test stands at the edge of each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server takes at most. Units are in the names; code points for text, bytes of canonical JSON for values."""

    mutation_bytes_max: int = 1 << 20
    mutation_ops_max: int = 1_000
    mutation_edits_max: int = 10_000
    push_mutations_max: int = 500
    push_bytes_max: int = 4 << 20
    text_code_points_max: int = 200_000
    string_code_points_max: int = 20_000
    set_items_max: int = 1_000
    json_depth_max: int = 32
    json_bytes_max: int = 256 << 10
    inbox_items_max: int = 1_000
    inbox_bytes_max: int = 10 << 20
    held_or_refused_per_minute_max: int = 100
    socket_buffered_bytes_max: int = 1 << 20
    queue_mutations_max: int = 20_000
    queue_bytes_max: int = 64 << 20
    batch_mutations_max: int = 512
    clock_skew_ms_max: int = 60_000
    rebase_pairs_under_lock_max: int = 100_000
    pull_entries_max: int = 1_000
    page_records_max: int = 200
    sign_in_attempts_per_minute_max: int = 10
