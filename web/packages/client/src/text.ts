/**
 * A Text field bound to something that is typed into. Places are UTF-16 units, as inputs and editors have them; the wire counts code points.
 * Others' changes come as edits, so that a cursor can be kept where it was.
 */
import * as changes from "./core/text.js";
import { rules } from "./core/decide.js";
import { lengthOf, pointsAt, unitsAt } from "./core/points.js";
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
      edits = changes.toEdits(rules!.transform(meanwhile, changes.fromEdits(edits), true)[1]) as typeof edits;
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
    const [at, deleted, inserted] = typed(before, value);
    const grown = lengthOf(inserted) - deleted;
    // A place that others inserted at stays before it; one within what they deleted goes to its start.
    const moved = (place: number): number => (place <= at ? place : Math.max(at, place + grown));
    this.shown = value;
    return { value, places: places.map((place) => unitsAt(value, moved(pointsAt(before, place)))) };
  }
}
