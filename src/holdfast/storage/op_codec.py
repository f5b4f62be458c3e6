"""Ops in few bytes: short arrays of MessagePack, and of an inverse only what its op does not tell.

| op | array |
|---|---|
| set | `[0, path, value]`, restated: `[0, path, value, 1]` |
| unset | `[1, path]`, with flags (1 if_empty, 2 restated): `[1, path, flags]` |
| splice | `[2, path, at, deleted, inserted, at, deleted, inserted, …]` |
| add | `[3, path, by]` |
| include, exclude | `[4, path, items]`, `[5, path, items]` |
| create, delete, undelete | `[6, value]`, `[7]`, `[8]` |

An inverse is told beside its op (the inverse of the last op comes first). Where it follows from the op it is `0`; a splice's is the list
of the texts that the op deleted, because everything else of it follows; where it is of the same path the path is null. Whatever does
not come back exactly is written in full: `undo_codec` compares before it leaves anything out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast.core.ops import AddOp, CreateOp, DeleteOp, Edit, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp

__all__ = ["decode_ops", "decode_undo", "encode_ops", "encode_undo"]

_SET, _UNSET, _SPLICE, _ADD, _INCLUDE, _EXCLUDE, _CREATE, _DELETE, _UNDELETE = range(9)
Array = list[Any]


def encode_ops(ops: Sequence[Op]) -> list[Array]:
    return [_ENCODERS[type(op)](op) for op in ops]


def decode_ops(arrays: Sequence[Array]) -> list[Op]:
    return [_DECODERS[array[0]](array) for array in arrays]


def encode_undo(undo: Sequence[Op], ops: Sequence[Op]) -> list[Any] | None:
    """None: all of it follows from `ops`."""
    if len(undo) != len(ops):
        return encode_ops(undo)
    parts = [_encode_inverse(inverse, op) for inverse, op in zip(undo, reversed(ops), strict=True)]
    return parts if any(parts) else None


def decode_undo(parts: Sequence[Any] | None, ops: Sequence[Op]) -> list[Op]:
    if parts is None:
        parts = [0] * len(ops)
    elif len(parts) != len(ops):
        return decode_ops(parts)
    return [_decode_inverse(part, op) for part, op in zip(parts, reversed(ops), strict=True)]


def _encode_inverse(inverse: Op, op: Op) -> Any:
    if type(inverse) is SetOp and type(op) is SetOp and not inverse.restated:
        return [_SET, None if inverse.path == op.path else inverse.path, inverse.value]
    if type(op) is SpliceOp and type(inverse) is SpliceOp:
        if len(op.edits) == 1 and len(inverse.edits) == 1 and op.path == inverse.path:
            (at, deleted, inserted), (back_at, taken_back, gone) = op.edits[0], inverse.edits[0]
            if at == back_at >= 0 and taken_back == len(inserted) and len(gone) == deleted:
                return [_REMOVED, gone] if gone else 0
        removed = [inserted for _, _, inserted in inverse.edits if inserted]
        if inverse == _inverse_splice(op, removed):
            return [_REMOVED, *removed] if removed else 0
    elif inverse == _inverse(op):
        return 0
    array = _ENCODERS[type(inverse)](inverse)
    if len(array) > 1 and getattr(inverse, "path", None) == getattr(op, "path", ""):
        array[1] = None
    return array


_REMOVED: Final = 9
"""First of an array of the texts that a splice deleted, in order."""


def _decode_inverse(part: Any, op: Op) -> Op:
    if part == 0:
        inverse = _inverse_splice(op, []) if isinstance(op, SpliceOp) else _inverse(op)
        assert inverse is not None, "left out only where it follows"
        return inverse
    if part[0] == _REMOVED:
        assert isinstance(op, SpliceOp)
        inverse = _inverse_splice(op, part[1:])
        assert inverse is not None, "left out only where it follows"
        return inverse
    if len(part) > 1 and part[1] is None and part[0] != _CREATE:
        part = [part[0], op.path, *part[2:]]  # type: ignore[union-attr]
    decode: Callable[[Array], Op] = _DECODERS[part[0]]
    return decode(part)


def _inverse(op: Op) -> Op | None:
    """The inverse of an op, where nothing but the op is needed to know it."""
    if isinstance(op, AddOp):
        return AddOp(op.path, -op.by)
    if isinstance(op, CreateOp | UndeleteOp):
        return DeleteOp()
    if isinstance(op, DeleteOp):
        return UndeleteOp()
    return None


def _inverse_splice(op: SpliceOp, removed: Sequence[str]) -> SpliceOp | None:
    """The inverse of a splice whose deletions took `removed`, in order; None if it does not follow from that: edits that run from left
    to right and touch nothing twice, as `core.text.to_edits` gives them."""
    edits: list[Edit] = []
    taken = iter(removed)
    end, shift = -1, 0
    for at, deleted, inserted in op.edits:
        if at <= end:
            return None
        end = at + len(inserted)
        gone = next(taken, "") if deleted else ""
        if len(gone) != deleted:
            return None
        edits.append((at + shift, len(inserted), gone))
        shift += deleted - len(inserted)
    return None if next(taken, None) is not None else SpliceOp(op.path, edits)


def _encode_unset(op: UnsetOp) -> Array:
    flags = op.if_empty + 2 * op.restated
    return [_UNSET, op.path, flags] if flags else [_UNSET, op.path]


def _decode_unset(array: Array) -> UnsetOp:
    flags = array[2] if len(array) > 2 else 0
    return UnsetOp(array[1], if_empty=bool(flags & 1), restated=bool(flags & 2))


def _encode_splice(op: SpliceOp) -> Array:
    array: Array = [_SPLICE, op.path]
    for edit in op.edits:
        array.extend(edit)
    return array


def _decode_splice(array: Array) -> SpliceOp:
    flat = iter(array[2:])
    return SpliceOp(array[1], list(zip(flat, flat, flat, strict=True)))


_ENCODERS: Final[dict[type, Callable[[Any], Array]]] = {
    SetOp: lambda op: [_SET, op.path, op.value, 1] if op.restated else [_SET, op.path, op.value],
    UnsetOp: _encode_unset,
    SpliceOp: _encode_splice,
    AddOp: lambda op: [_ADD, op.path, op.by],
    IncludeOp: lambda op: [_INCLUDE, op.path, op.items],
    ExcludeOp: lambda op: [_EXCLUDE, op.path, op.items],
    CreateOp: lambda op: [_CREATE, op.value],
    DeleteOp: lambda op: [_DELETE],
    UndeleteOp: lambda op: [_UNDELETE],
}

_DECODERS: Final[tuple[Callable[[Array], Op], ...]] = (
    lambda array: SetOp(array[1], array[2], restated=len(array) > 3),
    _decode_unset,
    _decode_splice,
    lambda array: AddOp(array[1], array[2]),
    lambda array: IncludeOp(array[1], array[2]),
    lambda array: ExcludeOp(array[1], array[2]),
    lambda array: CreateOp(array[1]),
    lambda array: DeleteOp(),
    lambda array: UndeleteOp(),
)
