"""Changes of a text, and operational transformation with a central order (DESIGN section 5).

A change is a list of parts: retain (n > 0), delete (n < 0) and insert (text); what follows the last part is retained. Positions and
counts are Unicode code points. Every change has one normal form, and all functions here take and give it: no empty part,
neighbours of one sort joined, an insertion before a deletion at one place, no retain at the end. So two changes do the same if
and only if they are equal, and `[]` changes nothing.

The rules that hold for all texts and changes (and that the tests check):

- `apply(apply(s, a), b) == apply(s, compose(a, b))`
- `a2, b2 = transform(a, b, first)`  =>  `compose(a, b2) == compose(b, a2)` as far as the text goes
- `apply(apply(s, a), invert(s, a)) == s`

Nothing is mutated; a result may share parts, or be the same list, with an argument.

Source: the linear operation of Ellis and Gibbs as composed changes (Wave, ShareJS); the tie rule is DESIGN's: whoever calls says
which of two insertions at one place stands left, so that runs typed at once never interleave.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.alignment import replacements
from holdfast.core.entry import TextChange
from holdfast.core.errors import Malformed
from holdfast.core.ops import Edit

__all__ = ["PLACEHOLDER", "apply", "compose", "diff", "fits", "from_edits", "invert", "invert_shape", "span", "to_edits", "transform"]

PLACEHOLDER = "\x00"
"""Stands for a deleted code point that is not known. No value holds U+0000, so it cannot be taken for text."""

_RUN_CODE_POINTS_MAX = 1_000    # a longer run is closed, so that growing one stays cheap


def _put(parts: TextChange, part: int | str) -> None:
    """Append an insertion or a deletion that stands directly behind the last part, in normal form."""
    last = parts[-1] if parts else None
    if isinstance(part, str):
        if isinstance(last, str):
            parts[-1] = last + part
        elif last is not None and last < 0:
            before = parts[-2] if len(parts) > 1 else None
            if isinstance(before, str):
                parts[-2] = before + part
            else:
                parts.insert(-1, part)
        else:
            parts.append(part)
    elif isinstance(last, int) and last < 0:
        parts[-1] = last + part
    else:
        parts.append(part)


def _put_rest(parts: TextChange, keep: int, part: int | str | None, rest: Sequence[int | str]) -> TextChange:
    """Append `keep` retained, then `part` and the `rest`, which are in normal form themselves. Returns `parts`."""
    if part is None:
        return parts
    if isinstance(part, int) and part > 0:
        if rest:
            parts.append(keep + part)
            parts.extend(rest)
        return parts
    if keep:
        parts.append(keep)
        parts.append(part)
    else:
        _put(parts, part)
        if rest and isinstance(part, str) and isinstance(rest[0], int) and rest[0] < 0:
            _put(parts, rest[0])
            rest = rest[1:]
    parts.extend(rest)
    return parts


def compose(first: TextChange, second: TextChange) -> TextChange:
    """The change that does `first`, then `second` (which is a change of the text that `first` makes)."""
    if not first or not second:
        return second or first
    out: TextChange = []
    keep = 0
    a, b = iter(first), iter(second)
    x, y = next(a, None), next(b, None)
    while x is not None and y is not None:
        if isinstance(x, int) and x < 0:
            if keep:
                out.append(keep)
                out.append(x)
                keep = 0
            else:
                _put(out, x)
            x = next(a, None)
        elif isinstance(y, str):
            if keep:
                out.append(keep)
                out.append(y)
                keep = 0
            else:
                _put(out, y)
            y = next(b, None)
        else:
            have = len(x) if isinstance(x, str) else x
            n = min(have, abs(y))
            if y > 0:
                if isinstance(x, int):
                    keep += n
                else:
                    if keep:
                        out.append(keep)
                        keep = 0
                    _put(out, x if n == have else x[:n])
            elif isinstance(x, int):
                if keep:
                    out.append(keep)
                    keep = 0
                _put(out, -n)
            x = next(a, None) if n == have else x[n:] if isinstance(x, str) else x - n
            y = (y - n if y > 0 else y + n) or next(b, None)
    return _put_rest(out, keep, y, list(b)) if x is None else _put_rest(out, keep, x, list(a))


def transform(left: TextChange, right: TextChange, left_first: bool) -> tuple[TextChange, TextChange]:
    """Two changes of one text -> (`left` as it is after `right`, `right` as it is after `left`).

    Inserted text is never lost and deleting deleted text does nothing. Of two insertions at one place `left`'s stands left if
    `left_first`.
    """
    if not left or not right:
        return left, right
    moved = _apart(left, right, left_first)
    if moved is not None:
        return left, moved
    moved = _apart(right, left, not left_first)
    if moved is not None:
        return moved, right
    return _interleaved(left, right, left_first)


def _apart(before: TextChange, behind: TextChange, before_first: bool) -> TextChange | None:
    """`behind` moved by what `before` adds, if all of `before` stands before it; else None. This is most of all calls."""
    first = behind[0]
    if isinstance(first, str):
        start = 0
    elif first > 0:
        start, first = first, behind[1]
    else:
        start = 0
    end = growth = 0
    part: int | str = 0
    for part in before:
        if isinstance(part, str):
            growth += len(part)
        elif part > 0:
            end += part
        else:
            end -= part
            growth += part
        if end > start:
            return None
    if end == start and not before_first and isinstance(part, str) and isinstance(first, str):
        return None
    if not start:
        return [growth, *behind] if growth else behind
    if start + growth:
        return [start + growth, *behind[1:]]
    return behind[1:]


def _interleaved(left: TextChange, right: TextChange, left_first: bool) -> tuple[TextChange, TextChange]:
    """`transform` for changes that touch or enclose each other: one walk along both. `keep_…` is retained and not yet written."""
    out_left: TextChange = []
    out_right: TextChange = []
    keep_left = keep_right = 0
    a, b = iter(left), iter(right)
    x, y = next(a, None), next(b, None)
    while x is not None and y is not None:
        if isinstance(x, str) and (left_first or not isinstance(y, str)):
            if keep_left:
                out_left.append(keep_left)
                keep_left = 0
            _put(out_left, x)
            keep_right += len(x)
            x = next(a, None)
        elif isinstance(y, str):
            if keep_right:
                out_right.append(keep_right)
                keep_right = 0
            _put(out_right, y)
            keep_left += len(y)
            y = next(b, None)
        else:
            assert isinstance(x, int)
            n = min(abs(x), abs(y))
            if x > 0:
                if y > 0:
                    keep_left += n
                    keep_right += n
                else:
                    if keep_right:
                        out_right.append(keep_right)
                        keep_right = 0
                    _put(out_right, -n)
            elif y > 0:
                if keep_left:
                    out_left.append(keep_left)
                    keep_left = 0
                _put(out_left, -n)
            x = (x - n if x > 0 else x + n) or next(a, None)
            y = (y - n if y > 0 else y + n) or next(b, None)
    if x is None:
        return out_left, _put_rest(out_right, keep_right, y, list(b))
    return _put_rest(out_left, keep_left, x, list(a)), out_right


def span(change: TextChange) -> int:
    """How many code points of the text before `change` looks at: it needs a text at least that long."""
    return sum([abs(part) for part in change if isinstance(part, int)])


def fits(change: TextChange, length: int) -> bool:
    """Whether `change` is a change of a text of `length` code points."""
    return span(change) <= length


def apply(text: str, change: TextChange) -> str:
    """`text` after `change`. Raises Malformed if the change reaches past the end."""
    out: list[str] = []
    at = 0
    for part in change:
        if isinstance(part, str):
            out.append(part)
        elif part > 0:
            out.append(text[at:at + part])
            at += part
        else:
            at -= part
    if at > len(text):
        raise Malformed(f"The change reaches to {at}, the text has {len(text)} code points", hint="Count offsets in Unicode code points.")
    out.append(text[at:])
    return "".join(out)


def invert(text: str, change: TextChange) -> TextChange:
    """The change that takes `change` of `text` back. Raises Malformed if the change reaches past the end."""
    out: TextChange = []
    at = 0
    for part in change:
        if isinstance(part, str):
            _put(out, -len(part))
        elif part > 0:
            out.append(part)
            at += part
        else:
            _put(out, text[at:at - part])
            at -= part
    if at > len(text):
        raise Malformed(f"The change reaches to {at}, the text has {len(text)} code points", hint="Count offsets in Unicode code points.")
    return out


def invert_shape(change: TextChange) -> TextChange:
    """`invert` without the text: what `change` deletes comes back as so many placeholders. True in every length and place, so that
    others' changes can be carried past a cancelled pair; its insertions must never reach a text."""
    out: TextChange = []
    for part in change:
        if isinstance(part, str):
            _put(out, -len(part))
        elif part > 0:
            out.append(part)
        else:
            _put(out, PLACEHOLDER * -part)
    return out


def from_edits(edits: Sequence[Edit]) -> TextChange:
    """The change that does `edits`, which apply one after another: [(5, 0, "a"), (6, 0, "b")] -> [5, "ab"].

    Time n log n in the number of edits, n if they go from left to right. Raises Malformed for a negative offset or count; what reaches
    past the end of a text is found by `fits`.
    """
    passes = _passes(_runs(edits))
    while len(passes) > 1:
        pairs = [compose(passes[i], passes[i + 1]) for i in range(0, len(passes) - 1, 2)]
        passes = [*pairs, passes[-1]] if len(passes) % 2 else pairs
    return passes[0] if passes else []


def _passes(runs: Sequence[Edit]) -> list[TextChange]:
    """The runs as changes, those that go from left to right in one."""
    passes: list[TextChange] = []
    change: TextChange = []
    end = 0
    for at, deleted, inserted in runs:
        if at < end or not change:
            change = []
            passes.append(change)
            end = 0
        if at > end:
            change.append(at - end)
        if inserted:
            _put(change, inserted)
        if deleted:
            _put(change, -deleted)
        end = at + len(inserted)
    return passes


def _runs(edits: Sequence[Edit]) -> list[Edit]:
    """The same edits with those joined that touch the one before: typing, deleting backwards, correcting what was just typed."""
    runs: list[Edit] = []
    at, deleted, inserted = 0, 0, ""
    for start, count, added in edits:
        if start < 0 or count < 0:
            raise Malformed("An edit has a negative offset or count", hint="An edit is [offset, deleted, inserted], in code points.")
        end = at + len(inserted)
        if at <= start + count and start <= end and len(inserted) < _RUN_CODE_POINTS_MAX and (inserted or deleted):
            inserted = inserted[:max(start - at, 0)] + added + inserted[start + count - at:]
            deleted += max(at - start, 0) + max(start + count - end, 0)
            at = min(at, start)
        else:
            if inserted or deleted:
                runs.append((at, deleted, inserted))
            at, deleted, inserted = start, count, added
    if inserted or deleted:
        runs.append((at, deleted, inserted))
    return runs


def to_edits(change: TextChange) -> list[Edit]:
    """`change` as edits that apply one after another, from left to right, an insertion and a deletion at one place in one edit."""
    edits: list[Edit] = []
    at = 0
    inserted = ""
    for part in change:
        if isinstance(part, str):
            inserted = part
            continue
        if part < 0:
            edits.append((at, -part, inserted))
        elif inserted:
            edits.append((at, 0, inserted))
        at += len(inserted)
        inserted = ""
        if part > 0:
            at += part
    if inserted:
        edits.append((at, 0, inserted))
    return edits


def diff(old: str, new: str) -> list[Edit]:
    """Edits that turn `old` into `new`, one after another, as a person would have made them: whole words where words differ, and in
    them only what differs. Bounded time for any two texts within the limits (`alignment`)."""
    edits: list[Edit] = []
    shift = 0
    for at, count, inserted in replacements(old, new):
        edits.append((at + shift, count, inserted))
        shift += len(inserted) - count
    return edits
