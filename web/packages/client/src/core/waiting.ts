/**
 * The context of a device in a text: which of the others' changes it had not seen, as they stand after its own. The rules of
 * src/holdfast/core/waiting.py. Of two insertions at one offset the lower device id stands left; what the server makes (an id that
 * begins with "!") sorts lowest, among itself by seq.
 */
import type { Context, Entry, Op, Waiting } from "./facts.js";
import { lengthOf } from "./points.js";
import { textDefault, textFields, type Collection } from "./schema.js";
import { diff } from "./diff.js";
import * as text from "./text.js";
import { transform } from "./transform.js";
import type { TextChange } from "./text.js";

/** The device of a waiting change that is the inverse of an own held splice. Sorts below every device. */
export const TAKEN_BACK = "!";

/** What goes on waiting, and the change as it is applied. */
type Passed = [after: Waiting[], change: TextChange];

function standsLeft(other: string, mine: string): boolean {
  return other === mine || (other.startsWith("!") && mine.startsWith("!")) || other < mine;
}

/** What `ops` do to the Text field `name`, as one change. A create inserts what it differs from the default by. */
export function changeOf(ops: readonly Op[], name: string, byDefault: string): TextChange {
  let change: TextChange = [];
  for (const op of ops) {
    if (op.op === "splice" && op.path === "/" + name) change = text.compose(change, text.fromEdits(op.edits));
    else if (op.op === "create" && typeof op.value[name] === "string") change = text.compose(change, text.fromEdits(diff(byDefault, op.value[name])));
  }
  return change;
}

const moved = (other: Waiting, change: TextChange): Waiting => ({ ...other, change });

/** [the inverse after `other`, `other` as if what is inverted had never been] */
function carried(inverse: TextChange, other: Waiting, deviceId: string): [TextChange, TextChange] {
  const [without, after] = transform(other.change, inverse, standsLeft(other.deviceId, deviceId));
  return [after, without];
}

/** Rebase `change` of `deviceId` over what waits. An entry and the one that reverts it cancel, but both go on waiting: `base` may pass the
 * one and not the other. */
export function passOver(waiting: readonly Waiting[], change: TextChange, deviceId: string): Passed {
  const after: Waiting[] = [];
  for (let at = 0; at < waiting.length; at++) {
    const other = waiting[at]!;
    const closing = closingOf(waiting, at);
    if (closing < 0) {
      const [theirs, mine] = transform(other.change, change, standsLeft(other.deviceId, deviceId));
      after.push(moved(other, theirs));
      change = mine;
    } else {
      const [made, mine] = passPair(waiting.slice(at, closing + 1), change, deviceId);
      after.push(...made);
      change = mine;
      at = closing;
    }
  }
  return [after, change];
}

/** `passOver` for an entry, what came between, and the entry that reverts the first. */
function passPair(pair: readonly Waiting[], change: TextChange, deviceId: string): Passed {
  const opened = pair[0]!;
  const between = pair.slice(1, -1);
  const [theirs, meanwhile] = transform(opened.change, change, standsLeft(opened.deviceId, deviceId));
  const [after] = passOver(between, meanwhile, deviceId);
  let inverse = text.invertShape(theirs);
  for (const other of after) inverse = carried(inverse, other, opened.deviceId)[0];
  let back = text.invertShape(opened.change);
  const standing: Waiting[] = [];
  for (const other of between) {
    const [next, without] = carried(back, other, opened.deviceId);
    back = next;
    standing.push(moved(other, without));
  }
  return [[moved(opened, theirs), ...after, moved(pair.at(-1)!, inverse)], passOver(standing, change, deviceId)[1]];
}

/** Where the entry stands that takes back the one at `at`; -1 if there is none, or if it is not exactly its inverse. */
function closingOf(waiting: readonly Waiting[], at: number): number {
  const opened = waiting[at]!;
  const to = waiting.findIndex((other, index) => index > at && other.reverts === opened.seq);
  if (to < 0) return to;
  let inverse = text.invertShape(opened.change);
  for (const other of waiting.slice(at + 1, to)) inverse = carried(inverse, other, opened.deviceId)[0];
  return shapeOf(inverse) === shapeOf(waiting[to]!.change) ? to : -1;
}

/** A change without the text it inserts: all that rebasing another one over it depends on. */
export const shapeOf = (change: TextChange): string => change.map((part) => (typeof part === "string" ? `+${lengthOf(part)}` : part)).join();

/** What waits in Text field `name`: the context row without what `base` has passed, and what came since. */
export function gather(context: Context | undefined, name: string, base: number, since: readonly Entry[], byDefault: string): readonly Waiting[] {
  const waiting = (context?.texts[name] ?? []).filter((other) => other.seq > base);
  const through = Math.max(base, context?.through ?? 0);
  for (const { seq, deviceId, ops, reverts } of since) {
    const change = seq > through ? changeOf(ops, name, byDefault) : [];
    if (change.length) waiting.push({ seq, deviceId, change, reverts });
  }
  return waiting;
}

/** What waits after a splice of one's own was held at `seq`. The held typing stays on the screen until its entry comes back: so it is an
 * own change followed by its inverse, which waits until `base` has passed that entry; what others did after that never met it. */
export function takenBack(waiting: readonly Waiting[], change: TextChange, deviceId: string, seq: number): Waiting[] {
  const heldSeq = waiting.find((other) => other.deviceId === TAKEN_BACK)?.seq ?? seq;
  const [after, rebased] = passOver(waiting.filter((other) => other.seq <= heldSeq), change, deviceId);
  const inverse = { seq: heldSeq, deviceId: TAKEN_BACK, change: text.invertShape(rebased), reverts: 0 };
  return [...after, inverse, ...waiting.filter((other) => other.seq > heldSeq)];
}

/** What waits once somebody else's equal text counts as one's own: what came after the equal creation, else nothing. */
export function pastIdentical(waiting: readonly Waiting[], change: TextChange): readonly Waiting[] {
  return waiting.length && JSON.stringify(waiting[0]!.change) === JSON.stringify(change) ? waiting.slice(1) : [];
}

/** The context row once an own mutation made on `base` stands at `seq`; undefined: none is needed. `texts`: what waits per field, where it
 * touched a text at all. Where others' entries are newer than base it is kept even if nothing waits: they must not wait again. */
export function contextAfter(
  context: Context | undefined, base: number, seq: number, texts: ReadonlyMap<string, readonly Waiting[]> | undefined, hasRivals: boolean,
): Context | undefined {
  const kept: { [name: string]: readonly Waiting[] } = {};
  if (!texts) {
    if (!context) return undefined;
    for (const name in context.texts) {
      const left = context.texts[name]!.filter((other) => other.seq > base);
      if (left.length) kept[name] = left;
    }
    return Object.keys(kept).length || base < context.through ? { texts: kept, through: context.through } : undefined;
  }
  for (const [name, waiting] of texts) if (waiting.length) kept[name] = waiting;
  return Object.keys(kept).length || hasRivals ? { texts: kept, through: seq } : undefined;
}

/** What waits in every Text field of a collection; `of` is asked for each. */
export const eachText = (collection: Collection, of: (name: string, byDefault: string) => readonly Waiting[]): Map<string, readonly Waiting[]> =>
  new Map(textFields(collection).map((name) => [name, of(name, textDefault(collection.fields[name]!))]));
