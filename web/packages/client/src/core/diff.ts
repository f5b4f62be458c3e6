/** What differs between two texts, as edits. */
import { lengthOf } from "./points.js";
import type { Edit } from "./text.js";

type Aligned = (before: string, after: string) => [at: number, count: number, inserted: string][];

/** The whole is replaced: all there is to say where one of the texts is empty. */
let align: Aligned = (before, after) => (before === after ? [] : [[0, lengthOf(before), after]]);

/** Finds differences by words from now on (`words`). */
export const alignBy = (by: Aligned): void => void (align = by);

/** Edits that turn `before` into `after`, one after another. */
export function diff(before: string, after: string): Edit[] {
  let shift = 0;
  return align(before, after).map(([at, count, inserted]) => {
    const edit: Edit = [at + shift, count, inserted];
    shift += lengthOf(inserted) - count;
    return edit;
  });
}
