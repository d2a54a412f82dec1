import { statSync } from "node:fs";
import type { Store } from "./store.ts";

/** A log of this size is not being checkpointed: normally that happens at 16 MB. */
const HELD_BYTES = 64 * 1024 * 1024;

/** The size of the write-ahead log in bytes. */
export function walSize({ path }: Pick<Store, "path">): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/** A warning if another program prevents checkpoints of the log; else null. */
export function heldLog(store: Pick<Store, "path">): string | null {
  const bytes = walSize(store);
  if (bytes < HELD_BYTES) return null;
  return (
    `${store.path}-wal takes ${Math.round(bytes / 1024 / 1024)} MB and grows, because another program has been reading the database for a while. ` +
    "End that program's work (a viewer, an open transaction, a paused export); then the space becomes free."
  );
}

/**
 * Makes everything that was committed survive a loss of power, without waiting for others.
 * @returns false if another process prevents this
 */
export function flushLog({ sqlite }: Store): boolean {
  const [result] = sqlite.pragma("wal_checkpoint(passive)") as { busy: number; log: number; checkpointed: number }[];
  return result?.busy === 0 && result.log === result.checkpointed;
}

/** Writes the log into the file, and empties it. @returns false if another process prevents this */
export function checkpoint({ sqlite }: Store): boolean {
  const [result] = sqlite.pragma("wal_checkpoint(truncate)") as { busy: number }[];
  return result?.busy === 0;
}
