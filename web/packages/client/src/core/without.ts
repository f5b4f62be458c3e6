/**
 * Work that has to be made anew because what it was made on is gone: a change was refused for good, or the server was put back to an
 * older state. The rules of `without` in src/holdfast/core/rebase.py.
 */
import type { Op, SpliceOp } from "./facts.js";
import { lengthOf } from "./points.js";
import { textDefault, textFields, type Collection } from "./schema.js";
import { diff } from "./diff.js";
import * as text from "./text.js";
import { transform } from "./transform.js";
import type { TextChange } from "./text.js";
import type { Json, JsonObject } from "./values.js";
import { changeOf } from "./waiting.js";

/** One change of a record's past, as it was made on everything before it. `isMine`: to be made anew; others are dropped. `isApplied`: the
 * next step was made with it in place. `frozen`: an own one that may have arrived, as the server then has it. */
export interface Step {
  readonly ops: readonly Op[];
  readonly isMine: boolean;
  readonly isApplied?: boolean;
  readonly frozen?: readonly Op[] | undefined;
}

/** Own changes as they would have been made had what is dropped never been: those of `steps` that are mine, in order. `stood`: the
 * record's fields before the first step. Only texts depend on what stood before; every other op stays as it is. */
export function without(steps: readonly Step[], collection: Collection, stood: JsonObject = {}): Op[][] {
  const pasts = new Map(textFields(collection).map((name) => ["/" + name, new TextPast(name, textDefault(collection.fields[name]!), stood[name] ?? "")]));
  const made: Op[][] = [];
  for (const step of steps) {
    const kept = step.ops.map((op, at) => {
      const past = "path" in op ? pasts.get(op.path) : undefined;
      if (op.op === "splice" && past) return past.take(op, step, step.frozen?.[at]);
      if (op.op === "create") for (const one of pasts.values()) one.create(op, step.isMine);
      return op;
    });
    if (step.isMine) made.push(step.frozen ? [...step.frozen] : kept);
  }
  return made;
}

/** One text, as it went with everything (`whole`) and as it goes with the own changes alone (`own`); `dropped` leads from the one to the
 * other. */
class TextPast {
  private dropped: TextChange = [];
  private own: string;
  private whole: string;

  constructor(private readonly name: string, private readonly byDefault: string, stood: Json) {
    this.own = this.whole = stood as string;
  }

  create(op: Op, isMine: boolean): void {
    const change = changeOf([op], this.name, this.byDefault);
    this.whole = fitted(this.byDefault, change);
    if (isMine) this.own = this.whole;
    else this.dropped = text.compose(this.dropped, change);
  }

  take(op: SpliceOp, { isMine, isApplied = true }: Step, frozen: Op | undefined): SpliceOp {
    const change = text.fromEdits(op.edits);
    if (!isMine) {
      this.dropped = text.compose(this.dropped, change);
      this.whole = fitted(this.whole, change);
      return op;
    }
    const [back, own] = transform(text.invertShape(this.dropped), change, true);
    const after = text.invertShape(back);
    this.dropped = isApplied ? after : text.compose(after, text.invertShape(change));
    if (isApplied) this.whole = fitted(this.whole, change);
    if (frozen?.op !== "splice") {
      this.own = fitted(this.own, own);
      return { ...op, edits: text.toEdits(own) };
    }
    this.own = fitted(this.own, text.fromEdits(frozen.edits));
    this.dropped = text.fromEdits(diff(this.own, this.whole));
    return frozen;
  }
}

/** `now` after `change`, stretched where the change reaches further. */
export const fitted = (now: string, change: TextChange): string => text.apply(now + text.PLACEHOLDER.repeat(Math.max(0, text.span(change) - lengthOf(now))), change);
