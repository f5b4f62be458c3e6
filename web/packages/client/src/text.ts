/**
 * A Text field bound to something that is typed into. Places are UTF-16 units, as inputs and editors have them; the wire counts code points.
 * Others' changes come as edits, so that a cursor can be kept where it was.
 */
import * as changes from "./core/text.js";
import { pointsAt, unitsAt } from "./core/points.js";
import { typed } from "./changes.js";
import type { Device } from "./device/device.js";
import type { Key } from "./device/tables.js";

export class TextBinding {
  private shown: string;

  constructor(private readonly device: Device, private readonly key: Key, private readonly field: string) {
    this.shown = this.value;
  }

  /** The text as it stands, own unsent typing included. */
  get value(): string {
    return (this.device.view(this.key).row?.fields[this.field] as string | undefined) ?? "";
  }

  /** Typing as an input has it: the whole text after it, and where the cursor stands then. `from`: the text before it, if not what stands. */
  type(after: string, caret?: number): void {
    const before = this.shown;
    this.shown = after;
    if (before === after) return;
    let edits = [typed(before, after, caret)];
    if (this.value !== before) {
      // Somebody else's change came in between and is not on the screen yet.
      const meanwhile = changes.fromEdits([typed(before, this.value)]);
      edits = changes.toEdits(changes.transform(meanwhile, changes.fromEdits(edits), true)[1]) as typeof edits;
    }
    this.device.edit(this.key, () => (edits.length ? [{ op: "splice", path: "/" + this.field, edits }] : []));
    if (this.value === after) return;
    this.shown = after;
  }

  /** Replaces `deleted` units at `at`. */
  splice(at: number, deleted: number, inserted: string): void {
    const before = this.value;
    this.type(before.slice(0, at) + inserted + before.slice(at + deleted), at + inserted.length);
  }

  /** Where a place of the shown text stands once what others did is shown too; and shows it. `undefined`: nothing has changed. */
  refresh(...places: number[]): { value: string; places: number[] } | undefined {
    const before = this.shown;
    const { value } = this;
    if (before === value) return undefined;
    const change = changes.fromEdits([typed(before, value)]);
    this.shown = value;
    return { value, places: places.map((place) => unitsAt(value, moved(pointsAt(before, place), change))) };
  }
}

/** A place after a change: what is inserted at it goes behind it. */
function moved(place: number, change: changes.TextChange): number {
  const [, mark] = changes.transform(change, place ? [place, "|"] : ["|"], false);
  return typeof mark[0] === "number" ? mark[0] : 0;
}
