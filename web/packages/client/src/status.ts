/** Is it saved? One vocabulary, the Python replica's too. A status never says more than is so: what waits for the network is called saved
 * only where it is on this device's disk. */
import type { Device } from "./device/device.js";
import type { State } from "./net/machine.js";
import type { Sync } from "./net/sync.js";

export type StatusName = "idle" | "saved" | "editing" | "saving" | "offline" | "held" | "error" | "refused";

export interface Status {
  readonly name: StatusName;
  readonly phrase: string;
  /** Changes that the server has not acknowledged. */
  readonly waiting: number;
  /** Items in the inbox. */
  readonly held: number;
  readonly refused: number;
  readonly connection: State;
  readonly cause: string;
  readonly hint: string;
  /** ms of `Date.now`; 0: it does not wait. */
  readonly retryAt: number;
  /** ms; when the server last acknowledged something. */
  readonly savedAt: number | undefined;
  /** Whether everything here is on this device's disk. */
  readonly isOnDisk: boolean;
}

const RETRIES_BEFORE_ERROR = 3;
/** Until the part that connects is loaded. */
const NOT_LOADED = { state: "connecting", machine: { failures: 0 }, cause: undefined, retryAt: 0 } as const;

export function statusOf(device: Device, sync: Sync | undefined): Status {
  const rows = device.unanswered();
  const held = device.openItems().length;
  const { writer, meta } = device;
  const { state, machine: { failures }, cause, retryAt } = sync ?? NOT_LOADED;
  const [name, phrase] = named(device, state, failures, retryAt, rows.length, held);
  const failure = writer.failure as Error | undefined;
  return {
    name, phrase, waiting: rows.length, held, refused: device.refused.size, connection: state, cause: failure?.message ?? cause?.message ?? "",
    hint: failure ? "Free some space, or allow this page to keep data." : (cause?.hint ?? ""), retryAt, savedAt: meta.syncedAt,
    isOnDisk: !writer.failure && !writer.isWriting,
  };
}

function named(device: Device, state: State, failures: number, retryAt: number, waiting: number, held: number): [StatusName, string] {
  const { writer, meta } = device;
  if (writer.failure && device.unanswered().some((row) => writer.has("outbox", row.id))) return ["error", "Not saved on this device either – keep this tab open"];
  if (device.refused.size) return ["refused", "Not accepted – look at it"];
  if (held) return ["held", `Needs your decision (${held})`];
  if (waiting && (state === "failing" || failures > RETRIES_BEFORE_ERROR)) {
    const seconds = Math.ceil((retryAt - Date.now()) / 1_000);
    return ["error", "Not saved – retrying" + (seconds > 0 ? ` in ${seconds} s` : "")];
  }
  const isInTouch = state === "catching_up" || state === "live" || state === "polling";
  const isTrying = (state === "connecting" || state === "snapshot" || state === "recovering") && !failures;
  if (!isInTouch && !isTrying) return ["offline", "Offline – saved on this device" + (waiting ? ` (${waiting} change${waiting > 1 ? "s" : ""} waiting)` : "")];
  if (waiting) return [device.unanswered().some((row) => row.state === "sent") ? "saving" : "editing", "Saving…"];
  if (!meta.syncedAt) return ["idle", "Saved"];
  return ["saved", `Saved ${new Date(meta.syncedAt).toTimeString().slice(0, 5)}`];
}

