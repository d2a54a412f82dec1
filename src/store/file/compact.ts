import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { UsageError } from "../../errors.ts";
import { isLocked } from "./transaction.ts";
import type { Store } from "./store.ts";
import { diskFull, isDiskFull } from "./space.ts";
import { temporaryFolder } from "./temporary.ts";
import { takeInLog, walSize } from "./wal.ts";

/** What a page takes in the WAL and its index beside its own size. */
const WAL_HEAD_BYTES = 32;

/** What a folder's disk has. */
export interface Disk {
  /** The same number for all folders of a disk. */
  device: number;
  /** Bytes that this user may still write. */
  free: number;
}

/** What the database takes on the disk in bytes, what is not taken into the file yet included. */
export function sizeOf({ path }: Store): number {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) + walSize({ path });
}

/**
 * Writes the database anew without the pages that are free, and gives their space back to the disk. A failure leaves it
 * as it was.
 * @returns whether the space is back; not so while another process reads what the old file holds
 * @throws UsageError when there is too little room for it, or another process is using the database
 */
export function compact(store: Store): boolean {
  const { sqlite, path } = store;
  if (!takeInLog(store)) throw inUse(path);
  const pragma = (name: string) => sqlite.pragma(name, { simple: true }) as number;
  // VACUUM writes a copy among the temporary files, and from there the WAL, where each page has a head.
  const bytes = (pragma("page_count") - pragma("freelist_count")) * (pragma("page_size") + WAL_HEAD_BYTES);
  checkRoom(bytes, [dirname(path), temporaryFolder()]);
  const cache = pragma("cache_size");
  try {
    // VACUUM takes as much memory several times over, and is no faster for it.
    sqlite.pragma("cache_size = -2000");
    sqlite.exec("vacuum");
  } catch (error) {
    if (isDiskFull(error)) throw diskFull(store, error);
    if (isLocked(error)) throw inUse(path);
    throw error;
  } finally {
    sqlite.pragma(`cache_size = ${cache}`);
  }
  return takeInLog(store);
}

/** @throws UsageError when the disks of the folders do not have room for so many bytes in each of them */
export function checkRoom(bytes: number, folders: readonly string[], diskOf: (folder: string) => Disk = diskAt): void {
  const wanted = new Map<number, number>();
  for (const folder of folders) {
    const { device, free } = diskOf(folder);
    const sum = (wanted.get(device) ?? 0) + bytes;
    wanted.set(device, sum);
    if (sum <= free) continue;
    const megabytes = (size: number) => `${Math.ceil(size / 1024 / 1024)} MB`;
    throw new UsageError(
      `compacting needs ${megabytes(sum)} for a while on the disk of ${folder}, and ${megabytes(free)} are free`,
      "Make room there. Half of what compacting needs are temporary files, and SQLITE_TMPDIR can name another folder for them.",
    );
  }
}

function diskAt(folder: string): Disk {
  const { bavail, bsize } = statfsSync(folder);
  return { device: statSync(folder).dev, free: bavail * bsize };
}

function inUse(path: string): UsageError {
  return new UsageError(`${path} is being used by another process`, "Try again once that process is done.");
}
