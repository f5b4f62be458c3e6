/**
 * Keeps what changes, and goes on where the disk does not: what could not be written stays here and is tried again with everything that
 * comes after it, in one transaction, so that no part of it is ever kept without what came before.
 */
import type { Put, Store } from "./tables.js";

export class Writer {
  /** Why not everything is kept; undefined: it is. */
  failure: unknown;
  private readonly left = new Map<string, Put>();
  /** The newest put of each row, while any write has not ended. */
  private readonly newest = new Map<string, Put>();
  private inFlight = 0;

  /** `told`: something about `failure` or `isWriting` has changed. */
  constructor(readonly store: Store, private readonly told: () => void) {}

  /** Whether a write has not ended yet. */
  get isWriting(): boolean {
    return this.inFlight > 0;
  }

  /** Whether a row is in memory alone, or may be: its write has not ended. */
  has(table: Put[0], key: string): boolean {
    const name = `${table} ${key}`;
    return this.left.has(name) || this.newest.has(name);
  }

  /** Keeps `puts`; true once they are kept, false if they are in memory alone. Never rejects. */
  async write(puts: readonly Put[], isStrict = false): Promise<boolean> {
    for (const put of puts) this.left.delete(nameOf(put));
    const all = [...this.left.values(), ...puts];
    if (!all.length) return !this.failure;
    this.left.clear();
    this.inFlight++;
    for (const put of all) this.newest.set(nameOf(put), put);
    try {
      await this.store.write(all, isStrict);
      if (!this.left.size) this.failure = undefined;
    } catch (error) {
      // What was written again meanwhile is newer than what failed here.
      for (const put of all) if (this.newest.get(nameOf(put)) === put) this.left.set(nameOf(put), put);
      if (this.left.size) this.failure = error ?? true;
    }
    if (!--this.inFlight) this.newest.clear();
    this.told();
    return !this.failure;
  }
}

const nameOf = (put: Put): string => `${put[0]} ${put[1]}`;
