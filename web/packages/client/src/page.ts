/** What happens to the page: it is hidden, left, frozen, comes back, loses the network. `visibilitychange` is the last event that can be
 * relied on; a crash has none, which is why every edit is written when it is made. */
import type { Sync } from "./net/sync.js";

export function watchPage(sync: Sync): () => void {
  const page = globalThis.document;
  const view = globalThis.window;
  if (!page || !view) return () => undefined;
  const leave = (): void => void sync.leave();
  const seen = (): void => (page.visibilityState === "hidden" ? leave() : sync.check());
  const online = (): void => sync.tell("came_online");
  const offline = (): void => sync.tell("went_offline");
  const back = (): void => sync.check();
  const heard: [EventTarget, string, () => void][] = [
    [page, "visibilitychange", seen], [view, "pagehide", leave], [view, "blur", leave], [view, "online", online], [view, "offline", offline], [view, "pageshow", back],
  ];
  for (const [target, name, listener] of heard) target.addEventListener(name, listener);
  return () => {
    for (const [target, name, listener] of heard) target.removeEventListener(name, listener);
  };
}
