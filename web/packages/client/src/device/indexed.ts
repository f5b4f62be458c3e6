/**
 * The device's tables in IndexedDB. Layout and rules follow measurements (docs/internals/browser.md):
 *
 * - State is in memory; a write is one relaxed transaction of puts alone, without reads, committed at once. It counts as kept on `complete`
 *   only: a request that succeeded may still be aborted, by the quota for one.
 * - Records lie as a log of batches: one value per write, however many records it holds, the later one wins; small ones are collapsed into
 *   parts of 1,000 when there is time. Reading ten such values is five times faster than reading 10,000 rows.
 * - A handle that the browser has closed under us is thrown away; the next write opens another.
 */
import type { Row } from "../core/facts.js";
import type { Held, Kept, Key, Line, Meta, OutboxRow, Put, Store, Work } from "./tables.js";

const VERSION = 1;
const TABLES = ["meta", "records", "outbox", "works", "lines", "kept"];
/** Batches of fewer records are collapsed (`compacting`). */
const SMALL_RECORDS = 500;

/** Records of one write; null: dropped. */
export type Batch = [Key, Row | null][];

export class IndexedStore implements Store {
  private database: IDBDatabase | undefined;
  private opening: Promise<IDBDatabase> | undefined;
  /** Keys of the batches in the order they apply, with how many records each holds. */
  private batches: [key: number, count: number][] = [];
  /** Records in small batches. */
  private readonly fresh = new Set<Key>();

  /** `onOutdated`: a newer version of the program, in another tab, needs the database. */
  constructor(readonly name: string, private readonly onOutdated: () => void = () => undefined) {}

  private connect(): Promise<IDBDatabase> {
    return (this.opening ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(this.name, VERSION);
      request.onupgradeneeded = () => {
        for (const table of TABLES) if (!request.result.objectStoreNames.contains(table)) request.result.createObjectStore(table);
      };
      request.onsuccess = () => {
        const database = request.result;
        database.onclose = () => this.lose();
        database.onversionchange = () => {
          this.close();
          this.onOutdated();
        };
        resolve((this.database = database));
      };
      request.onblocked = request.onerror = () => {
        this.lose();
        reject(request.error ?? new Error("Another tab holds an older version of the database open."));
      };
    }));
  }

  /** The handle is of no use any longer. */
  private lose(): void {
    this.database = this.opening = undefined;
  }

  async open(): Promise<Held> {
    const hasBeenHere = marker(this.name);
    const database = await this.connect();
    const transaction = database.transaction(TABLES, "readonly");
    const all = <T>(table: string): Promise<T[]> => answerOf(transaction.objectStore(table).getAll());
    const keys = <T>(table: string): Promise<T[]> => answerOf(transaction.objectStore(table).getAllKeys()) as Promise<T[]>;
    const [outbox, metas, batches, batchKeys, works, workKeys, lines, lineKeys] = await Promise.all([
      all<OutboxRow>("outbox"), all<Meta>("meta"), all<Batch>("records"), keys<number>("records"), all<Work>("works"), keys<Key>("works"), all<Line>("lines"),
      keys<Key>("lines"),
    ]);
    const records = new Map<Key, Row>();
    batches.forEach((batch, at) => {
      this.note(batchKeys[at]!, batch);
      for (const [key, row] of batch) row ? records.set(key, row) : records.delete(key);
    });
    return {
      meta: metas[0], records, outbox, works: new Map(works.map((work, at) => [workKeys[at]!, work])), lines: new Map(lines.map((line, at) => [lineKeys[at]!, line])),
      isEvicted: hasBeenHere && !metas.length,
    };
  }

  private note(key: number, batch: Batch): void {
    this.batches.push([key, batch.length]);
    if (batch.length < SMALL_RECORDS) for (const [record] of batch) this.fresh.add(record);
  }

  write(puts: readonly Put[], isStrict = false): Promise<void> {
    const records: Batch = [];
    const rows = puts.filter(([table, key, value]) => table !== "records" || void records.push([key, value ?? null]));
    return this.change(isStrict, (stores) => {
      for (const [table, key, value] of rows) value === undefined ? stores(table).delete(key) : stores(table).put(value, key);
      if (!records.length) return;
      const key = (this.batches.at(-1)?.[0] ?? 0) + 1;
      stores("records").put(records, key);
      this.note(key, records);
    });
  }

  /** One transaction; begins in this turn if the database is open. */
  private change(isStrict: boolean, what: (stores: (table: string) => IDBObjectStore) => void): Promise<void> {
    const begin = (database: IDBDatabase): Promise<void> =>
      new Promise((resolve, reject) => {
        try {
          const transaction = database.transaction(TABLES, "readwrite", { durability: isStrict ? "strict" : "relaxed" });
          transaction.oncomplete = () => resolve();
          transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new DOMException("The write was aborted.", "AbortError"));
          what((table) => transaction.objectStore(table));
          transaction.commit();
        } catch (error) {
          this.lose();
          reject(error);
        }
      });
    return this.database ? begin(this.database) : this.connect().then(begin);
  }

  async compact(records: ReadonlyMap<Key, Row>): Promise<void> {
    const { compacted } = await import("./compacting.js");
    const plan = compacted(this.batches, this.fresh, records);
    if (!plan) return;
    this.batches = this.batches.filter(([key]) => !plan.gone.includes(key));
    this.fresh.clear();
    for (const [key, part] of plan.parts) this.note(key, part);
    await this.change(true, (stores) => {
      for (const key of plan.gone) stores("records").delete(key);
      for (const [key, part] of plan.parts) stores("records").put(part, key);
    });
  }

  async kept(seq: number): Promise<Kept[]> {
    const database = await this.connect();
    return answerOf(database.transaction("kept").objectStore("kept").getAll(IDBKeyRange.lowerBound(seq, true)));
  }

  prune(seq: number): Promise<void> {
    return this.change(false, (stores) => void stores("kept").delete(IDBKeyRange.upperBound(seq)));
  }

  close(): void {
    this.database?.close();
    this.lose();
  }
}

const answerOf = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Whether a database of this name was here before; from now on it was. localStorage loses the last seconds in a crash, so it holds
 * nothing but this. */
function marker(name: string): boolean {
  try {
    const before = localStorage.getItem(name);
    localStorage.setItem(name, "1");
    return before !== null;
  } catch {
    return false;
  }
}
