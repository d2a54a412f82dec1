import { statSync } from "node:fs";
import type { Store } from "./store.ts";

/** A log that is this large has not been taken into the file for a long time: 16 MB is where that is due. */
const HELD_BYTES = 64 * 1024 * 1024;

/** The bytes of the write-ahead log. */
export function walSize({ path }: Pick<Store, "path">): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/** What to tell the user where another program keeps the log from being taken into the file; null where none does. */
export function heldLog(store: Pick<Store, "path">): string | null {
  const bytes = walSize(store);
  if (bytes < HELD_BYTES) return null;
  return (
    `${store.path}-wal takes ${Math.round(bytes / 1024 / 1024)} MB and grows, as another program has been reading the database for a while. ` +
    "End what that program does (a viewer, an open transaction, a paused export); the space is free once it is done."
  );
}

/** Writes the log into the file, and empties it. @returns false where another process keeps it from that */
export function takeInLog({ sqlite }: Store): boolean {
  const [result] = sqlite.pragma("wal_checkpoint(truncate)") as { busy: number }[];
  return result?.busy === 0;
}
