import type { Row } from "../core/facts.js";
import type { Held, Kept, Key, Line, Meta, OutboxRow, Put, Store, Work } from "./tables.js";

/** Nothing but memory; for tests, where `tables` are handed on to the next one like a disk. */
export class MemoryStore implements Store {
  constructor(readonly tables: { [table: string]: Map<string | number, unknown> } = {}) {}

  private table<T>(name: string): Map<string | number, T> {
    return (this.tables[name] ??= new Map()) as Map<string | number, T>;
  }

  async open(): Promise<Held> {
    return {
      meta: structuredClone(this.table<Meta>("meta").get("meta")),
      records: new Map(this.table<Row>("records")) as Map<Key, Row>,
      outbox: [...this.table<OutboxRow>("outbox").values()],
      works: new Map(this.table<Work>("works")) as Map<Key, Work>,
      lines: new Map(this.table<Line>("lines")) as Map<Key, Line>,
    };
  }

  async write(puts: readonly Put[]): Promise<void> {
    for (const [table, key, value] of structuredClone(puts)) value === undefined ? this.table(table).delete(key) : this.table(table).set(key, value);
  }

  async kept(seq: number): Promise<Kept[]> {
    return [...this.table<Kept>("kept").values()].filter((one) => one.change.seq > seq).sort((a, b) => a.change.seq - b.change.seq);
  }

  async prune(seq: number): Promise<void> {
    for (const one of this.table("kept").keys()) if ((one as number) <= seq) this.table("kept").delete(one);
  }

  close(): void {}
}

/** Keeps nothing and says so at every write: where a browser has no storage for this page, or one that cannot be read. */
export class NoStore extends MemoryStore {
  constructor(private readonly reason: unknown) {
    super();
  }

  override async write(): Promise<void> {
    throw this.reason;
  }
}
