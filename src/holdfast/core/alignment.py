"""What differs between two texts, as a person would have typed it, in bounded time.

Theory of operation. What two texts share at both ends is set aside. The middles are cut into tokens (words, blanks, single signs,
line ends) and aligned by Myers' greedy algorithm, whose work grows with the number of differences, not with the length of the text.
Where that would take too long, the texts are first cut at short runs of tokens that occur exactly once in both (patience: the
longest rising sequence of them), and the pieces are aligned by themselves. All pieces of one call share one allowance of steps;
what exceeds it is replaced as a whole: never wrong, only coarser. Words that differ are then aligned by code points if alike. What
was inserted or deleted and could as well stand a little further left is moved to where it is whole words, if there is such a place.

Sources: E. W. Myers, An O(ND) Difference Algorithm and Its Variations (1986); B. Cohen's patience diff.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Block", "replacements", "tokens", "words"]

Block = tuple[int, int, int, int]
"""(start, end) in the old sequence, (start, end) in the new: what stands between two equal stretches."""

_TOKEN = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")

_STEPS_MAX = 400_000            # of one call: about a tenth of a second
_STEPS_OF_PIECE_MAX = 100_000   # before a piece is cut at its anchors
_ANCHOR_TOKENS = (12, 4, 1)     # lengths of runs looked for, longest first: a long one is more often the only one
_SLIDE_CODE_POINTS_MAX = 64
_ALIKE_CODE_POINTS_MAX = 400    # longer words are not looked into


def tokens(text: str) -> list[str]:
    """Words, runs of blanks, single signs and line ends; joined they are the text again."""
    return _TOKEN.findall(text)


def replacements(old: str, new: str) -> list[tuple[int, int, str]]:
    """(offset in `old`, code points replaced, text instead), rising and apart; [] for equal texts."""
    start, end = _shared_ends(old, new)
    a, b = old[start:len(old) - end], new[start:len(new) - end]
    if not a or not b:
        return [_whole_words(old, start, len(a), b, 0)] if a or b else []
    alignment = _Alignment()
    found: list[tuple[int, int, str]] = []
    last = -1
    for at, _, before, after in _hunks(a, b, alignment):
        for inner, count, text in _inside(before, after, alignment):
            found.append(_whole_words(old, start + at + inner, count, text, last + 1))
            last = found[-1][0] + found[-1][1]
    return found


def words(old: str, new: str) -> list[tuple[int, int, str, str]]:
    """Hunks of whole tokens: (offset in `old`, offset in `new`, old text, new text), rising; [] for equal texts."""
    return _hunks(old, new, _Alignment())


def _hunks(old: str, new: str, alignment: _Alignment) -> list[tuple[int, int, str, str]]:
    a, b = tokens(old), tokens(new)
    hunks: list[tuple[int, int, str, str]] = []
    at_old = at_new = last_old = last_new = 0
    for i1, i2, j1, j2 in alignment.blocks(a, b):
        at_old += sum(map(len, a[last_old:i1]))
        at_new += sum(map(len, b[last_new:j1]))
        before, after = "".join(a[i1:i2]), "".join(b[j1:j2])
        hunks.append((at_old, at_new, before, after))
        at_old, at_new, last_old, last_new = at_old + len(before), at_new + len(after), i2, j2
    return hunks


def _shared_ends(old: str, new: str) -> tuple[int, int]:
    """Lengths of the longest common start and, of what is left, of the longest common end."""
    start = _shared(old, new, min(len(old), len(new)), backwards=False)
    end = _shared(old, new, min(len(old), len(new)) - start, backwards=True)
    return start, end


def _shared(old: str, new: str, most: int, *, backwards: bool) -> int:
    """By halving, on slices: a comparison of a slice runs at the speed of memory."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if backwards:
            same = old[len(old) - middle:len(old) - low] == new[len(new) - middle:len(new) - low]
        else:
            same = old[low:middle] == new[low:middle]
        if same:
            low = middle
        else:
            high = middle - 1
    return low


def _inside(before: str, after: str, alignment: _Alignment) -> list[tuple[int, int, str]]:
    """The replacements within one hunk: only what differs of words that are alike, else the hunk less what its ends share."""
    start, end = _shared_ends(before, after)
    a, b = before[start:len(before) - end], after[start:len(after) - end]
    if a and b and len(a) + len(b) <= _ALIKE_CODE_POINTS_MAX:
        blocks = alignment.blocks(a, b)
        replaced = sum(i2 - i1 for i1, i2, _, _ in blocks)
        if 2 * (len(a) - replaced) >= max(len(a), len(b)):
            return [(start + i1, i2 - i1, b[j1:j2]) for i1, i2, j1, j2 in blocks]
    return [(start, len(a), b)]


def _whole_words(old: str, at: int, count: int, text: str, first: int) -> tuple[int, int, str]:
    """The same insertion or deletion, at most so far left as `first`, where it is whole words: of "one two three" the deletion of
    "wo t" is that of "two "."""
    if count and text:
        return at, count, text
    stretch = text or old[at:at + count]
    for left in range(min(len(stretch), at - first, _SLIDE_CODE_POINTS_MAX) + 1):
        if left and old[at - left] != stretch[-left]:
            break
        moved = at - left
        slid = stretch[len(stretch) - left:] + stretch[:len(stretch) - left]
        behind = old[moved + count:moved + count + 1]
        if not (_in_word(old[moved - 1:moved], slid[0]) or _in_word(slid[-1], behind)):
            return moved, count, slid if text else ""
    return at, count, text


def _in_word(left: str, right: str) -> bool:
    return bool(left) and bool(right) and left.isalnum() and right.isalnum()


class _Alignment:
    """One call's work on two sequences, with its allowance of steps."""

    def __init__(self) -> None:
        self._left = _STEPS_MAX

    def blocks(self, a: Sequence[str], b: Sequence[str]) -> list[Block]:
        """What differs, rising and apart."""
        found: list[Block] = []
        pieces: list[Block] = [(0, len(a), 0, len(b))]
        while pieces:
            piece = self._trimmed(a, b, pieces.pop())
            i1, i2, j1, j2 = piece
            if i1 == i2 or j1 == j2:
                if i1 != i2 or j1 != j2:
                    found.append(piece)
                continue
            exact = self._myers(a, b, piece)
            if exact is not None:
                found.extend(exact)
                continue
            sizes = _ANCHOR_TOKENS if self._left > 0 else ()
            cut = next((cut for size in sizes if len(cut := _cut_at_anchors(a, b, piece, size)) > 1), None)
            if cut is None:
                found.append(piece)
            else:
                pieces.extend(reversed(cut))
        return found

    @staticmethod
    def _trimmed(a: Sequence[str], b: Sequence[str], piece: Block) -> Block:
        i1, i2, j1, j2 = piece
        while i1 < i2 and j1 < j2 and a[i1] == b[j1]:
            i1, j1 = i1 + 1, j1 + 1
        while i1 < i2 and j1 < j2 and a[i2 - 1] == b[j2 - 1]:
            i2, j2 = i2 - 1, j2 - 1
        return i1, i2, j1, j2

    def _myers(self, a: Sequence[str], b: Sequence[str], piece: Block) -> list[Block] | None:
        """The fewest insertions and deletions of one piece; None if that takes more steps than a piece has."""
        i1, i2, j1, j2 = piece
        n, m = i2 - i1, j2 - j1
        steps = min(_STEPS_OF_PIECE_MAX, self._left)
        reached = {1: 0}                # diagonal (x - y) -> furthest x with the differences so far
        trace: list[dict[int, int]] = []
        for d in range(n + m + 1):
            trace.append(reached)
            furthest: dict[int, int] = {}
            for k in range(-d if d <= m else -2 * m + d, (d if d <= n else 2 * n - d) + 1, 2):
                down, right = reached.get(k + 1, -1), reached.get(k - 1, -2) + 1
                x = down if down >= right else right
                y = x - k
                while x < n and y < m and a[i1 + x] == b[j1 + y]:
                    x, y = x + 1, y + 1
                    steps -= 1
                furthest[k] = x
                steps -= 2
                if x >= n and y >= m:
                    self._left -= min(_STEPS_OF_PIECE_MAX, self._left) - steps
                    return _walked_back(trace, piece)
            if steps < 0:
                break
            reached = furthest
        self._left -= min(_STEPS_OF_PIECE_MAX, self._left) - steps
        return None


def _walked_back(trace: list[dict[int, int]], piece: Block) -> list[Block]:
    """The path that Myers' search took, read from its end, as blocks."""
    i1, i2, j1, j2 = piece
    x, y = i2 - i1, j2 - j1
    blocks: list[Block] = []
    for d in range(len(trace) - 1, 0, -1):
        reached = trace[d]
        k = x - y
        down, right = reached.get(k + 1, -1), reached.get(k - 1, -2) + 1
        k = k + 1 if down >= right else k - 1
        before_x = reached[k]
        before_y = before_x - k
        # One step from (before_x, before_y): an insertion (down) or a deletion (right), then equal tokens up to (x, y).
        after_x, after_y = (before_x, before_y + 1) if down >= right else (before_x + 1, before_y)
        if blocks and blocks[-1][0] == i1 + after_x and blocks[-1][2] == j1 + after_y:
            blocks[-1] = (i1 + before_x, blocks[-1][1], j1 + before_y, blocks[-1][3])
        else:
            blocks.append((i1 + before_x, i1 + after_x, j1 + before_y, j1 + after_y))
        x, y = before_x, before_y
    blocks.reverse()
    return blocks


def _cut_at_anchors(a: Sequence[str], b: Sequence[str], piece: Block, size: int) -> list[Block]:
    """The pieces between runs of `size` tokens that occur once on both sides, in the same order on both."""
    i1, i2, j1, j2 = piece
    only_b = _once(b, j1, j2, size)
    pairs = [(i, only_b[run]) for run, i in _once(a, i1, i2, size).items() if run in only_b]
    cut: list[Block] = []
    for i, j in _rising(pairs):
        if i >= i1 and j >= j1:
            cut.append((i1, i, j1, j))
            i1, j1 = i + size, j + size
    cut.append((i1, i2, j1, j2))
    return cut


def _once(sequence: Sequence[str], start: int, end: int, size: int) -> dict[tuple[str, ...], int]:
    """Start of each run of `size` tokens that occurs exactly once in the stretch, in order."""
    if end - start < size:
        return {}
    first: dict[tuple[str, ...], int] = {}
    more: set[tuple[str, ...]] = set()
    for at, run in enumerate(zip(*[sequence[start + shift:end - size + 1 + shift] for shift in range(size)], strict=True), start):
        if run in first:
            more.add(run)
        else:
            first[run] = at
    return {run: at for run, at in first.items() if run not in more} if more else first


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs that rises in both (they rise in the first already)."""
    ends: list[int] = []                # smallest last j of a run of each length
    at: list[int] = []                  # which pair that is
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        place = bisect_left(ends, j)
        before.append(at[place - 1] if place else -1)
        if place == len(ends):
            ends.append(j)
            at.append(index)
        else:
            ends[place], at[place] = j, index
    run: list[tuple[int, int]] = []
    index = at[-1] if at else -1
    while index >= 0:
        run.append(pairs[index])
        index = before[index]
    run.reverse()
    return run
