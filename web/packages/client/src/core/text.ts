/**
 * Changes of a text, and operational transformation with a central order; the same functions as src/holdfast/core/text.py, on the same
 * vectors. A change is a list of retain (n > 0), delete (n < 0) and insert (text); what follows is retained; counts are code points.
 *
 * Normal form, which all functions take and give: no empty part, neighbours of one sort joined, an insertion before a deletion at one
 * place, no retain at the end. So two changes do the same if and only if they are equal, and [] changes nothing. Nothing is mutated.
 */
import { malformed } from "./errors.js";
import { lengthOf, slice } from "./points.js";

export type Part = number | string;
export type TextChange = readonly Part[];
/** [at, deleted, inserted], in code points; the edits of one splice apply one after another. */
export type Edit = readonly [at: number, deleted: number, inserted: string];

/** Stands for a deleted code point that is not known. No value holds U+0000. */
export const PLACEHOLDER = "\0";
const RUN_CODE_POINTS_MAX = 1_000;

/** A change in the making: `keep` is retained and not yet written. */
export class Making {
  readonly parts: Part[] = [];
  private keep = 0;

  retain(count: number): void {
    this.keep += count;
  }

  /** An insertion or a deletion. */
  put(part: Part): void {
    if (!part) return;
    const { parts } = this;
    if (this.keep) {
      parts.push(this.keep, part);
      this.keep = 0;
      return;
    }
    const at = parts.length - 1;
    const last = parts[at];
    if (typeof part === "string") {
      if (typeof last === "string") parts[at] = last + part;
      else if (last !== undefined && last < 0) {
        if (typeof parts[at - 1] === "string") (parts[at - 1] as string) += part;
        else parts.splice(at, 0, part);
      } else parts.push(part);
    } else if (typeof last === "number" && last < 0) parts[at] = last + part;
    else parts.push(part);
  }

  rest(cursor: Cursor): Part[] {
    for (; cursor.part !== undefined; cursor.next()) {
      if (typeof cursor.part === "number" && cursor.part > 0) this.retain(cursor.part);
      else this.put(cursor.part);
    }
    return this.parts;
  }
}

/** Walks along a change, also by pieces of a part. */
export class Cursor {
  part: Part | undefined;
  private at = 0;

  constructor(private readonly change: TextChange) {
    this.next();
  }

  next(): void {
    this.part = this.change[this.at++];
  }

  get size(): number {
    return sizeOf(this.part!);
  }

  /** Goes on by `count` of this part's code points. */
  skip(count: number): void {
    const part = this.part!;
    if (count === this.size) this.next();
    else this.part = typeof part === "string" ? slice(part, count) : part > 0 ? part - count : part + count;
  }
}

const sizeOf = (part: Part): number => (typeof part === "string" ? lengthOf(part) : Math.abs(part));
export const isInsert = (part: Part | undefined): part is string => typeof part === "string";

/** The change that does `first`, then `second` (a change of the text that `first` makes). */
export function compose(first: TextChange, second: TextChange): TextChange {
  if (!first.length) return second;
  if (!second.length) return first;
  const out = new Making();
  const a = new Cursor(first);
  const b = new Cursor(second);
  while (a.part !== undefined && b.part !== undefined) {
    const x: Part = a.part;
    const y: Part = b.part;
    if (!isInsert(x) && x < 0) {
      out.put(x);
      a.next();
    } else if (isInsert(y)) {
      out.put(y);
      b.next();
    } else {
      const count = Math.min(a.size, b.size);
      if (y > 0) {
        if (isInsert(x)) out.put(slice(x, 0, count));
        else out.retain(count);
      } else if (!isInsert(x)) out.put(-count);
      a.skip(count);
      b.skip(count);
    }
  }
  return out.rest(a.part === undefined ? b : a);
}

/** How many code points of a text the change looks at: it needs a text at least that long. */
export const span = (change: TextChange): number => change.reduce<number>((sum, part) => (isInsert(part) ? sum : sum + Math.abs(part)), 0);

/** `text` after `change`. Raises malformed if the change reaches past the end. */
export function apply(text: string, change: TextChange): string {
  const [after, , rest] = walk(text, change);
  return after + rest;
}

/** The change that takes `change` of `text` back. Raises malformed if the change reaches past the end. */
export const invert = (text: string, change: TextChange): TextChange => walk(text, change)[1];

function walk(text: string, change: TextChange): [after: string, inverse: TextChange, rest: string] {
  if (span(change) > lengthOf(text)) throw malformed(`The change reaches to ${span(change)}, the text has ${lengthOf(text)} code points`);
  const inverse = new Making();
  let after = "";
  let rest = text;
  for (const part of change) {
    if (isInsert(part)) {
      after += part;
      inverse.put(-lengthOf(part));
      continue;
    }
    const over = slice(rest, 0, Math.abs(part));
    rest = rest.slice(over.length);
    if (part > 0) {
      after += over;
      inverse.retain(part);
    } else inverse.put(over);
  }
  return [after, inverse.parts, rest];
}

/** `invert` without the text: what `change` deletes comes back as so many placeholders, which must never reach a text. */
export function invertShape(change: TextChange): TextChange {
  const out = new Making();
  for (const part of change) {
    if (isInsert(part)) out.put(-lengthOf(part));
    else if (part > 0) out.retain(part);
    else out.put(PLACEHOLDER.repeat(-part));
  }
  return out.parts;
}

/** The change that does `edits`, one after another: [[5, 0, "a"], [6, 0, "b"]] -> [5, "ab"]. Raises malformed. */
export function fromEdits(edits: readonly Edit[]): TextChange {
  let passes = runs(edits).map(([at, deleted, inserted]) => {
    const out = new Making();
    out.retain(at);
    out.put(inserted);
    out.put(-deleted);
    return out.parts as TextChange;
  });
  while (passes.length > 1) {
    const pairs: TextChange[] = [];
    for (let i = 0; i < passes.length; i += 2) pairs.push(compose(passes[i]!, passes[i + 1] ?? []));
    passes = pairs;
  }
  return passes[0] ?? [];
}

/** The same edits with those joined that touch the one before: typing, deleting backwards, correcting what was just typed. */
function runs(edits: readonly Edit[]): Edit[] {
  const found: Edit[] = [];
  let [at, deleted, inserted]: Edit = [0, 0, ""];
  for (const [start, count, added] of edits) {
    if (start < 0 || count < 0) throw malformed("An edit is [offset, deleted, inserted], in code points");
    const length = lengthOf(inserted);
    const end = at + length;
    if (at <= start + count && start <= end && length < RUN_CODE_POINTS_MAX && (inserted || deleted)) {
      inserted = slice(inserted, 0, Math.max(start - at, 0)) + added + (start + count < end ? slice(inserted, start + count - at) : "");
      deleted += Math.max(at - start, 0) + Math.max(start + count - end, 0);
      at = Math.min(at, start);
    } else {
      if (inserted || deleted) found.push([at, deleted, inserted]);
      [at, deleted, inserted] = [start, count, added];
    }
  }
  if (inserted || deleted) found.push([at, deleted, inserted]);
  return found;
}

/** `change` as edits that apply one after another, from left to right. */
export function toEdits(change: TextChange): Edit[] {
  const edits: Edit[] = [];
  let at = 0;
  let inserted = "";
  for (const part of [...change, 0]) {
    if (isInsert(part)) {
      inserted = part;
      continue;
    }
    if (part < 0 || inserted) edits.push([at, Math.max(-part, 0), inserted]);
    at += lengthOf(inserted) + Math.max(part, 0);
    inserted = "";
  }
  return edits;
}
