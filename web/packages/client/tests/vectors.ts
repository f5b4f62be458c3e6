/** Reads vectors/*.json, the cases that every implementation of Holdfast's core runs. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const PROJECT = fileURLToPath(new URL("../../../../", import.meta.url));

// Cases are plain JSON of many shapes, described in vectors/README.md; each test says which it takes.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Case = any;

/** The whole of one file. */
export const vectors = (file: string): Case => JSON.parse(readFileSync(`${PROJECT}vectors/${file}.json`, "utf8"));

/** The cases of one section as [name, case]; an empty section is a mistake. */
export function cases(file: string, section: string): [string, Case][] {
  const listed: Case[] = vectors(file)[section];
  if (!listed?.length) throw new Error(`${file}.json: ${section} holds no cases`);
  return listed.map((one) => [one.name, one]);
}

/** A declared collection of a vector file. */
export const collectionOf = (file: string): Case => ({ contract: 1, ...vectors(file).collection });
