/**
 * The calls of the wire as a device makes them. An answer that is a problem raises a HoldfastError with its code; no answer, or one that is
 * none of a Holdfast server, raises `unreachable`.
 */
import { HoldfastError } from "../core/errors.js";
import type { Mutation } from "../core/facts.js";
import type { Result } from "../device/answering.js";
import type { Problem } from "../device/tables.js";
import type { Page, RecordLine } from "../device/taking.js";

/** A token, or something to ask for one; undefined: a session cookie signs in. */
export type TokenSource = string | undefined | (() => string | undefined | Promise<string | undefined>);

export interface PushReply {
  readonly results: readonly Result[];
  readonly head: number;
}

export interface Profile {
  readonly tenant: string;
  readonly account: string;
}

const CALL_MS_MAX = 30_000;

export const unreachable = (message = "The server cannot be reached."): HoldfastError => new HoldfastError("unreachable", message);

/** The error that a problem of the wire says. */
export const errorOf = (problem: Problem): HoldfastError => new HoldfastError(problem.code, problem.detail, problem.hint, problem.field, problem.retry_after);

export class Wire {
  /** `address`: where the server is, without a slash at the end. */
  constructor(readonly address: string, public token: TokenSource) {}

  /** The token of now; undefined where a cookie signs in. Raises not_signed_in where there is a source and it has none. */
  async signature(): Promise<string | undefined> {
    const { token } = this;
    const found = typeof token === "function" ? await token() : token;
    if (token !== undefined && !found) throw new HoldfastError("not_signed_in", "There is no token to sign in with.");
    return found;
  }

  /** One call; the answer is one of success. */
  async ask(method: string, path: string, body?: unknown, more: RequestInit = {}): Promise<Response> {
    const token = await this.signature();
    let answer: Response;
    try {
      answer = await fetch(this.address + path, {
        method, credentials: "include", signal: AbortSignal.timeout(CALL_MS_MAX), ...more,
        headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body !== undefined && { "content-type": "application/json" }), ...more.headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
    } catch {
      throw unreachable();
    }
    if (!answer.ok) throw errorOf(await problemOf(answer));
    return answer;
  }

  /** Any call: its JSON; undefined for no content. */
  async call<T>(method: string, path: string, body?: unknown, more?: RequestInit): Promise<T> {
    const answer = await this.ask(method, path, body, more);
    try {
      return (answer.status === 204 ? undefined : await answer.json()) as T;
    } catch {
      throw unreachable("What answered is no Holdfast server.");
    }
  }

  push(deviceId: string, mutations: readonly Mutation[], more?: RequestInit): Promise<PushReply> {
    return this.call("POST", "/v1/push", { device_id: deviceId, now: Date.now(), mutations }, more);
  }

  pull(deviceId: string, cursor: string | null, contracts: { readonly [name: string]: number }, limit = 1_000): Promise<Page> {
    const query = new URLSearchParams({ limit: `${limit}`, collections: Object.keys(contracts).join(), device_id: deviceId });
    query.set("contracts", Object.entries(contracts).map((pair) => pair.join(":")).join());
    if (cursor) query.set("cursor", cursor);
    return this.call("GET", `/v1/pull?${query}`);
  }

  /** Records, each as the entries since the position that the device has. */
  async records(wanted: readonly { collection: string; record_id: string; base: string | null }[]): Promise<RecordLine[]> {
    return (await this.call<{ records: RecordLine[] }>("POST", "/v1/records", { wanted })).records;
  }

  /** The lines of a snapshot: first {"cursor"}, then records. Raises unreachable where they break off. */
  async *snapshot(collections: readonly string[], after: string | null, pending: { readonly [key: string]: string | null }): AsyncGenerator<RecordLine & { cursor?: string }> {
    const answer = await this.ask("POST", "/v1/snapshot", { collections, after, pending }, { signal: null });
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let left = "";
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (left + part.value).split("\n");
        left = lines.pop()!;
        for (const line of lines) if (line) yield JSON.parse(line);
      }
      if (left) yield JSON.parse(left);
    } catch {
      throw unreachable("The snapshot broke off.");
    } finally {
      void reader.cancel().catch(() => undefined);
    }
  }

  /** A socket to `/v1/live`, not open yet. */
  socket(): WebSocket {
    return new WebSocket(new URL(this.address + "/v1/live", globalThis.location?.href).href.replace(/^http/, "ws"));
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  const { status, headers } = answer;
  const retry_after = Number(headers.get("retry-after")) || 0;
  try {
    const problem = (await answer.json()) as Problem;
    if (problem.code) return { retry_after, ...problem };
  } catch {
    // An error page of something in between.
  }
  return { code: status === 401 ? "not_signed_in" : status === 403 ? "forbidden" : "unreachable", detail: `The server answered ${status}.`, retry_after };
}
