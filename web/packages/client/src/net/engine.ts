/** The part of a device that needs a network: loaded at once when it opens, beside reading and editing, which do not wait for it. */
import * as concurrent from "../core/concurrent.js";
import { mergeBy } from "../core/decide.js";
import type { Schema } from "../core/schema.js";
import { watchPage } from "../page.js";
import { Sync } from "./sync.js";
import { Wire } from "./wire.js";

mergeBy(concurrent);

/** Loads what this schema takes: a Text that is created with a default of its own is told apart from it by words. */
export async function prepare(schema: Schema): Promise<void> {
  const fields = Object.values(schema.collections).flatMap((one) => Object.values(one.fields));
  if (fields.some((field) => field.kind === "text" && field.default)) await import("../core/words.js");
}

export { Sync, watchPage, Wire };
