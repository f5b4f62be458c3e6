/**
 * Rivals: others' concurrent changes of one place, and which of them stand; the rules of src/holdfast/core/rivals.py. An entry and the entry
 * that reverts it cancel. Newer means: greater (stamp, device).
 */
import type { Stamp } from "./clock.js";
import { placeOf, type Entry, type SetOp, type UnsetOp } from "./facts.js";
import { contains, overlaps } from "./pointer.js";

/** One standing change of a place. */
export interface Rival {
  readonly op: SetOp | UnsetOp;
  readonly entry: Entry;
}

/** Entries without cancelled pairs. Newest first, so that a redo brings back what an undo took away. */
function standing(since: readonly Entry[]): readonly Entry[] {
  const here = new Set(since.map((entry) => entry.seq));
  const gone = new Set<number>();
  for (const { seq, reverts } of [...since].reverse()) {
    if (reverts && !gone.has(seq) && here.has(reverts) && !gone.has(reverts)) gone.add(seq).add(reverts);
  }
  return since.filter((entry) => !gone.has(entry.seq));
}

/** What standing entries set and unset at the same place; the fields that a create gave count as sets. What was only written back after a
 * wider set does not count again: it competes where it was made. */
export function rivalsAt(since: readonly Entry[], path: string): Rival[] {
  const found: Rival[] = [];
  for (const entry of standing(since)) {
    for (const op of entry.ops) {
      if (op.op === "set" || op.op === "unset") {
        if (!op.restated) found.push({ op, entry });
      } else if (op.op === "create") {
        for (const name in op.value) found.push({ op: { op: "set", path: "/" + name, value: op.value[name]! }, entry });
      }
    }
  }
  return found.filter((rival) => overlaps(rival.op.path, path));
}

/** The newer changes inside a place that is set, to be written back after it; undefined: a newer one at the place or around it stands. */
export function newerInside(rivals: readonly Rival[], path: string, stamp: Stamp, deviceId: string): (SetOp | UnsetOp)[] | undefined {
  const isLater = (left: Entry, right: { stamp: Stamp; deviceId: string }): boolean => left.stamp > right.stamp || (left.stamp === right.stamp && left.deviceId > right.deviceId);
  const newer = rivals.filter(({ entry }) => isLater(entry, { stamp, deviceId }));
  if (newer.some(({ op }) => contains(op.path, path))) return undefined;
  return newer.sort((a, b) => (isLater(b.entry, a.entry) ? -1 : 1)).map(({ op }) => ({ ...op, restated: true }));
}

/** Items of a Set that standing entries included last. Include wins over a concurrent exclude. */
export function included(since: readonly Entry[], path: string): Set<string> {
  const found = new Set<string>();
  for (const { ops } of standing(since)) {
    for (const op of ops) {
      const items = op.op === "create" ? ((op.value[path.slice(1)] ?? []) as string[]) : placeOf(op) === path && "items" in op ? op.items : [];
      for (const item of items) op.op === "exclude" ? found.delete(item) : found.add(item);
    }
  }
  return found;
}
