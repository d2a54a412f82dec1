import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { UsageError } from "../../errors.ts";
import { isLocked } from "./transaction.ts";
import type { Store } from "./store.ts";
import { diskFull, isDiskFull } from "./space.ts";
import { temporaryFolder } from "./temporary.ts";
import { checkpoint, walSize } from "./wal.ts";

/** The bytes that a page takes in the WAL and its index, besides its own size. */
const WAL_HEAD_BYTES = 32;

/** The disk of a folder. */
export interface Disk {
  /** The same number for all folders of a disk. */
  device: number;
  /** The free bytes for this user. */
  free: number;
}

/** The size of the database on the disk in bytes, including its write-ahead log. */
export function sizeOf({ path }: Store): number {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) + walSize({ path });
}

/**
 * Writes the database again without free pages, and gives their space back to the disk. After a failure the database is
 * unchanged.
 * @returns false if the space is not free yet, because another process still reads the old pages
 * @throws UsageError when there is too little room, or another process is using the database
 */
export function compact(store: Store): boolean {
  const { sqlite, path } = store;
  if (!checkpoint(store)) throw inUse(path);
  const pragma = (name: string) => sqlite.pragma(name, { simple: true }) as number;
  // VACUUM writes a copy to a temporary file, and then to the WAL, where each page has a header.
  const bytes = (pragma("page_count") - pragma("freelist_count")) * (pragma("page_size") + WAL_HEAD_BYTES);
  checkRoom(bytes, [dirname(path), temporaryFolder()]);
  const cache = pragma("cache_size");
  try {
    // VACUUM would use several times the size of the cache in memory, without being faster.
    sqlite.pragma("cache_size = -2000");
    sqlite.exec("vacuum");
  } catch (error) {
    if (isDiskFull(error)) throw diskFull(store, error);
    if (isLocked(error)) throw inUse(path);
    throw error;
  } finally {
    sqlite.pragma(`cache_size = ${cache}`);
  }
  return checkpoint(store);
}

/** @throws UsageError when the disks have too little room for this many bytes in each of the folders */
export function checkRoom(bytes: number, folders: readonly string[], diskOf: (folder: string) => Disk = diskAt): void {
  const wanted = new Map<number, number>();
  for (const folder of folders) {
    const { device, free } = diskOf(folder);
    const sum = (wanted.get(device) ?? 0) + bytes;
    wanted.set(device, sum);
    if (sum <= free) continue;
    const megabytes = (size: number) => `${Math.ceil(size / 1024 / 1024)} MB`;
    throw new UsageError(
      `compacting needs ${megabytes(sum)} for a while on the disk of ${folder}, but only ${megabytes(free)} are free`,
      "Make room there. Half of the space is for temporary files; SQLITE_TMPDIR can name another folder for them.",
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
