/** @holdfast/client: the device in a browser. */
export { Client, open, type Options, type Receipt, type Row, type Status } from "./client.js";
export { HoldfastError } from "./core/errors.js";
export type { Op } from "./core/facts.js";
export type { Collection, Field, Schema } from "./core/schema.js";
export type { Json, JsonObject } from "./core/values.js";
export type { Store } from "./device/tables.js";
export type { StatusName } from "./status.js";
export { TextBinding } from "./text.js";
