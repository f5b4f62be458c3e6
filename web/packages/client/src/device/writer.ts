/**
 * Keeps what changes, and goes on where the disk does not: what could not be written stays here and is tried again with everything that
 * comes after it, in one transaction, so that no part of it is ever kept without what came before.
 */
import type { Put, Store } from "./tables.js";

export class Writer {
  /** Why not everything is kept; undefined: it is. */
  failure: unknown;
  private readonly left = new Map<string, Put>();
  private inFlight = 0;

  /** `told`: something about `failure` or `isWriting` has changed. */
  constructor(readonly store: Store, private readonly told: () => void) {}

  /** Whether a write has not ended yet. */
  get isWriting(): boolean {
    return this.inFlight > 0;
  }

  /** Whether a row waits in memory alone. */
  has(table: Put[0], key: string): boolean {
    return this.left.has(`${table} ${key}`);
  }

  /** Keeps `puts`; true once they are kept, false if they are in memory alone. Never rejects. */
  async write(puts: readonly Put[], isStrict = false): Promise<boolean> {
    for (const put of puts) this.left.delete(`${put[0]} ${put[1]}`);
    const all = [...this.left.values(), ...puts];
    if (!all.length) return !this.failure;
    this.left.clear();
    this.inFlight++;
    try {
      await this.store.write(all, isStrict);
      this.inFlight--;
      if (this.failure && !this.left.size) this.failure = undefined;
    } catch (error) {
      this.inFlight--;
      this.failure = error ?? true;
      // What was written again meanwhile is newer than what failed here.
      for (const put of all) if (!this.has(put[0], String(put[1]))) this.left.set(`${put[0]} ${put[1]}`, put);
    }
    this.told();
    return !this.failure;
  }
}
