/**
 * What a device must know of a collection: kinds, defaults and merge rules, as `holdfast schema --json` prints and `GET /v1/schema`
 * answers them. What only the server judges (rights, checks, uniqueness, limits) has no place here.
 */
import { byPoints } from "./points.js";
import type { Json, JsonObject } from "./values.js";

export type Kind =
  | "string" | "integer" | "number" | "boolean" | "date" | "datetime" | "choice" | "uuid" | "ref" | "money" | "json" | "text" | "counter" | "set";

export interface Field {
  readonly kind: Kind;
  readonly optional?: boolean;
  readonly default?: Json;
  readonly merge?: "latest" | "ask";
  readonly immutable?: boolean;
  readonly stamped?: "created_by" | "created_at" | "updated_by" | "updated_at";
}

export interface Collection {
  readonly contract: number;
  readonly fields: { readonly [name: string]: Field };
  readonly key?: readonly string[];
}

export interface Schema {
  readonly digest?: string;
  readonly collections: { readonly [name: string]: Collection };
}

const EMPTY: { [kind in Kind]?: Json } = { text: "", counter: 0, set: [] };

/** Kinds that are changed by ops of their own, never by `set`. */
export const isFiner = (kind: Kind): boolean => kind in EMPTY;

/** The value of a field that is not given; the caller's own. */
export function defaultOf(field: Field): Json {
  const value = structuredClone(field.default ?? EMPTY[field.kind] ?? null);
  return field.kind === "set" ? [...new Set(value as string[])].sort(byPoints) : value;
}

/** The fields of a record of which nothing is given. */
export function defaults(collection: Collection): JsonObject {
  const fields: JsonObject = {};
  for (const name in collection.fields) fields[name] = defaultOf(collection.fields[name]!);
  return fields;
}

/** What a Text holds before anybody typed. */
export const textDefault = (field: Field): string => (field.default as string | undefined) ?? "";

/** The names of the Text fields. */
export const textFields = (collection: Collection): string[] => Object.keys(collection.fields).filter((name) => collection.fields[name]!.kind === "text");
