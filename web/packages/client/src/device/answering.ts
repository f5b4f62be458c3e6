/**
 * What goes out, and what the server's results do to the outbox. A result marks its row and moves neither base nor cursor nor view.
 * Refusals are told apart by their code:
 *
 * | code | what the device does |
 * |---|---|
 * | `out_of_order` | sends the record's line again from its first row; if it is the first, pulls; if that does not help, as `forked` |
 * | `rate` | lets the record wait for as long as it was told |
 * | `forked` | the outbox was copied: has everything answered that may have arrived, then takes a new id |
 * | any other | final: the row leaves the line, what stands behind it is made anew |
 */
import type { Mutation, Outcome } from "../core/facts.js";
import type { Device } from "./device.js";
import { mutationOf } from "./sent.js";
import { keyOf, type Answer, type Key, type OutboxRow, type Problem, type Put } from "./tables.js";

const ORDER_WAIT_MS = 1_000;
const ORDER_TRIES_MAX = 3;
const PUSH_MUTATIONS_MAX = 500;

/** A result of the wire. */
export interface Result {
  readonly mutation_id: string;
  readonly outcome: Outcome;
  readonly receipt: Answer["receipt"];
  readonly first_outcome?: Outcome;
  readonly position?: string;
  readonly seq?: number;
  readonly inbox_id?: string;
  readonly error?: Problem;
}

/** How long edits are held back before they are sent, so that typing is not sent letter by letter. */
export interface Hold {
  readonly ms: number;
  readonly msMax: number;
}

/** What this tab knows of the lines while it sends. Times are ms of `Date.now`. */
export class Lanes {
  /** Rows that a call of the page's last moment carries: they wait for its answer. */
  readonly leaving = new Set<string>();
  /** Half of the last push, where one was refused as a whole. */
  most = PUSH_MUTATIONS_MAX;
  private readonly waitsUntil = new Map<Key, number>();
  private readonly disordered = new Map<Key, number>();

  constructor(private readonly device: Device, private readonly hold: Hold, private readonly bytesMax: number) {}

  /** The rows of the next push with their wire form: in order within a line, oldest first, as many as fit. A line that waits stops nobody
   * else. `isHurried`: nothing is held back. */
  due(isHurried: boolean, bytesMax = this.bytesMax): [rows: OutboxRow[], bodies: Mutation[]] {
    const now = Date.now();
    const rows: OutboxRow[] = [];
    const bodies: Mutation[] = [];
    const stopped = new Set<Key>();
    let size = 0;
    for (const row of this.device.unanswered()) {
      const key = keyOf(row.collection, row.recordId);
      const isHeldBack = row.state === "unsent" && (this.device.meta.isForking || (!isHurried && now < this.ripeAt(row)));
      if (stopped.has(key) || isHeldBack || row.answer || this.leaving.has(row.id) || (this.waitsUntil.get(key) ?? 0) > now) {
        stopped.add(key);
        continue;
      }
      const body = mutationOf(row);
      size += JSON.stringify(body).length * (bytesMax < this.bytesMax ? 3 : 1);
      if (rows.length >= this.most || (size > bytesMax && (rows.length || bytesMax < this.bytesMax))) break;
      rows.push(row);
      bodies.push(body);
    }
    return [rows, bodies];
  }

  /** When an unsent row has waited long enough; a clock that was put back does not hold it. */
  private ripeAt(row: OutboxRow): number {
    return row.changedAt > Date.now() ? 0 : Math.min(row.changedAt + this.hold.ms, row.madeAt + this.hold.msMax);
  }

  /** When to look again (ms from now); undefined: nothing comes by itself. */
  next(isHurried: boolean): number | undefined {
    const now = Date.now();
    const rows = this.device.unanswered().filter((row) => !row.answer && !this.leaving.has(row.id));
    const times = rows.map((row) => Math.max(isHurried || row.state === "sent" ? 0 : this.ripeAt(row), this.waitsUntil.get(keyOf(row.collection, row.recordId)) ?? 0));
    return times.length ? Math.max(0, Math.min(...times) - now) : undefined;
  }

  retryNow(): void {
    this.waitsUntil.clear();
  }

  /** Marks rows before they are sent for the first time: from here on their content never changes. Resolves once that is kept, or once it
   * is plain that it cannot be. */
  async mark(rows: readonly OutboxRow[]): Promise<void> {
    const puts: Put[] = [];
    for (const row of rows) {
      if (row.state !== "unsent") continue;
      const sent: OutboxRow = { ...row, state: "sent", deviceId: this.device.meta.deviceId };
      this.device.adopt(sent);
      puts.push(["outbox", row.id, sent]);
    }
    if (puts.length) await this.device.writer.write(puts);
  }

  /** Takes in the results of a push. `mustPull`: the server lacks what it once acknowledged. */
  async take(results: readonly Result[]): Promise<{ mustPull: boolean }> {
    const { device } = this;
    const puts: Put[] = [];
    const keys = new Set<Key>();
    const finals: OutboxRow[] = [];
    let mustPull = false;
    let isHeld = false;
    for (const result of results) {
      const row = [...device.lanes.values()].flat().find((one) => one.id === result.mutation_id);
      if (!row || row.state === "acknowledged") continue; // it came back in a pull before, or this answer is an old one
      const key = keyOf(row.collection, row.recordId);
      keys.add(key);
      const isThere = result.error?.code === "id_reused" && row.first; // the server had it after all, with its first content
      if (result.outcome !== "refused" || isThere) {
        const after: OutboxRow = { ...(isThere ? row.first! : row), state: "acknowledged", answer: answerOf(result, !!isThere) };
        device.adopt(after);
        puts.push(["outbox", row.id, after]);
        if (result.seq) {
          const line = { id: row.id, deviceId: row.deviceId ?? device.meta.deviceId, seq: result.seq };
          device.lines.set(key, line);
          puts.push(["lines", key, line]);
        }
        isHeld ||= result.receipt === "held";
        this.waitsUntil.delete(key);
        this.disordered.delete(key);
        continue;
      }
      const problem = result.error!;
      const isFirst = device.lanes.get(key)!.find((one) => one.state !== "acknowledged") === row;
      if (problem.code === "rate") this.waitsUntil.set(key, Date.now() + (problem.retry_after ?? 1) * 1_000);
      else if (problem.code === "out_of_order" && !(isFirst && this.isLost(key))) {
        if (isFirst) {
          mustPull = true;
          this.waitsUntil.set(key, Date.now() + ORDER_WAIT_MS);
        }
      } else {
        const after = { ...row, answer: answerOf(result, false) };
        if (problem.code === "forked" || problem.code === "out_of_order") {
          device.adopt(after);
          puts.push(["outbox", row.id, after]);
          device.meta.isForking = true;
        } else finals.push(after);
      }
    }
    await device.write(puts, { ...(keys.size && { syncedAt: Date.now() }), ...(isHeld && { isInboxStale: true }) });
    if (finals.length) {
      const { refuse } = await import("./refusing.js");
      for (const row of finals) await refuse(device, row);
    }
    device.tell(keys);
    return { mustPull };
  }

  /** Whether the server has said so often that it lacks what stands before the first row of a line that it will not find it. */
  private isLost(key: Key): boolean {
    const count = (this.disordered.get(key) ?? 0) + 1;
    this.disordered.set(key, count);
    return count > ORDER_TRIES_MAX;
  }
}

const answerOf = (result: Result, isThere: boolean): Answer => ({
  outcome: isThere ? "applied" : result.outcome === "duplicate" ? (result.first_outcome ?? "applied") : result.outcome,
  receipt: isThere ? "committed" : result.receipt, seq: result.seq ?? 0, position: result.position, inboxId: result.inbox_id, problem: isThere ? undefined : result.error,
});
