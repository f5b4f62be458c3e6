/** Operational transformation with a central order; the rules of `transform` in src/holdfast/core/text.py. */
import { Cursor, isInsert, Making, type Part, type TextChange } from "./text.js";

/**
 * Two changes of one text -> [`left` as it is after `right`, `right` as it is after `left`]. Inserted text is never lost, deleting
 * deleted text does nothing. Of two insertions at one place `left`'s stands left if `leftFirst`.
 */
export function transform(left: TextChange, right: TextChange, leftFirst: boolean): [TextChange, TextChange] {
  if (!left.length || !right.length) return [left, right];
  const outLeft = new Making();
  const outRight = new Making();
  const a = new Cursor(left);
  const b = new Cursor(right);
  while (a.part !== undefined && b.part !== undefined) {
    const x: Part = a.part;
    const y: Part = b.part;
    if (isInsert(x) && (leftFirst || !isInsert(y))) {
      outLeft.put(x);
      outRight.retain(a.size);
      a.next();
    } else if (isInsert(y)) {
      outRight.put(y);
      outLeft.retain(b.size);
      b.next();
    } else {
      const count = Math.min(a.size, b.size);
      if ((x as number) > 0) {
        if (y > 0) {
          outLeft.retain(count);
          outRight.retain(count);
        } else outRight.put(-count);
      } else if (y > 0) outLeft.put(-count);
      a.skip(count);
      b.skip(count);
    }
  }
  return [outLeft.rest(a), outRight.rest(b)];
}

