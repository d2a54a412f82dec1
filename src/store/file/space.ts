import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errorCode, StoppedError } from "../../errors.ts";
import { removeTemporary, temporaryPath } from "./temporary.ts";
import type { Store } from "./store.ts";

/** Room for the answers to the requests that are in flight when the disk turns out to be full. */
const LEAST_BYTES = 16 * 1024 * 1024;
/** Of each of them: an answer of some 16,000 tokens, and what is left over of its pages. */
const ANSWER_BYTES = 64 * 1024;

const reserves = new WeakMap<Pick<Store, "path">, { file: number | null; bytes: number }>();

/**
 * Holds some space of the disk back while a run is executed. When the disk is full, it is given up so that what is
 * already paid for can still be stored; see {@link giveUpReserve}.
 * @param requests how many may be in flight
 * @returns what gives the space back
 * @throws StoppedError when there is not that much space
 */
export function reserveSpace(store: Store, requests: number): () => void {
  const bytes = LEAST_BYTES + requests * ANSWER_BYTES;
  const path = `${store.path}-reserve-${process.pid}`;
  // A process of the same number that was killed may have left it.
  rmSync(path, { force: true });
  const file = openSync(path, "wx", 0o600);
  reserves.set(store, { file, bytes });
  try {
    // A file without a name goes with its process, however that ends.
    rmSync(path);
    // What can be compressed holds no space back on file systems that compress.
    const piece = randomBytes(1024 * 1024);
    for (let left = bytes; left > 0;) left -= writeSync(file, piece, 0, Math.min(left, piece.length));
  } catch (error) {
    giveUpReserve(store);
    throw isDiskError(error) ? diskError(store, error) : error;
  }
  return () => {
    giveUpReserve(store);
    reserves.delete(store);
  };
}

/** Frees the space that was held back. @returns whether there was any */
export function giveUpReserve(store: Store): boolean {
  const reserve = reserves.get(store);
  if (!reserve || reserve.file === null) return false;
  closeSync(reserve.file);
  reserve.file = null;
  return true;
}

/** @throws StoppedError once the space that was held back had to be used */
export function checkSpace(store: Store): void {
  if (reserves.get(store)?.file === null) throw diskFull(store);
}

/** Whether an error may say that the disk is full, so that space that is given up can help. */
export function isDiskFull(error: unknown): boolean {
  return /^(SQLITE_FULL|SQLITE_IOERR_WRITE|SQLITE_IOERR_SHMSIZE|ENOSPC|EDQUOT)$/.test(errorCode(error) ?? "");
}

/** Whether an error is one of the disk: it is full, or cannot be read or written. */
export function isDiskError(error: unknown): boolean {
  return isDiskFull(error) || /^(SQLITE_IOERR\w*|EIO|EFBIG|EROFS)$/.test(errorCode(error) ?? "");
}

/** What an error of the disk means for the user: that it is full, or that it fails. */
export function diskError(store: Pick<Store, "path">, cause: unknown): StoppedError {
  const code = errorCode(cause) ?? "";
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)$/.test(code)) return diskFull(store, cause);
  // SQLite says the same of a quota that is used up and of a disk that fails.
  if (/^SQLITE_IOERR_(WRITE|SHMSIZE|TRUNCATE|\w*FSYNC)$/.test(code) && isFull(dirname(store.path))) {
    return diskFull(store, cause);
  }
  return new StoppedError(
    `the disk of ${store.path} cannot be read or written (${code})`,
    "Look into the system's log for what is wrong with it. What was stored before is kept.",
    cause,
  );
}

/** Whether there is too little room in a folder, or a quota leaves none. */
function isFull(folder: string): boolean {
  const probe = temporaryPath(folder);
  let file: number | undefined;
  try {
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < LEAST_BYTES) return true;
    file = openSync(probe, "wx", 0o600);
    writeSync(file, randomBytes(ANSWER_BYTES));
    fsyncSync(file);
    return false;
  } catch (error) {
    return /^(ENOSPC|EDQUOT)$/.test(errorCode(error) ?? "");
  } finally {
    if (file !== undefined) closeSync(file);
    removeTemporary(probe);
  }
}

/** Says that what is held back while a run is executed has to be free at least. */
export function diskFull(store: Pick<Store, "path">, cause?: unknown): StoppedError {
  const megabytes = Math.ceil((reserves.get(store)?.bytes ?? LEAST_BYTES) / 1024 / 1024);
  return new StoppedError(`the disk of ${store.path} is full`, `Make room on it, at least ${megabytes} MB.`, cause);
}
