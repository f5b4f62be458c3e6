/** Which contract of each collection this client speaks. */
import type { Schema } from "../core/schema.js";

export const contractsOf = (schema: Schema): { [name: string]: number } =>
  Object.fromEntries(Object.entries(schema.collections).map(([name, one]) => [name, one.contract]));
