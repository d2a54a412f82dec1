import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errorCode, StoppedError } from "../../errors.ts";
import { removeTemporary, temporaryPath } from "./temporary.ts";
import type { Store } from "./store.ts";

/** Room for the answers to requests that are in flight when the disk becomes full. */
const LEAST_BYTES = 16 * 1024 * 1024;
/** The room for each answer: some 16,000 tokens, and the unused rest of its pages. */
const ANSWER_BYTES = 64 * 1024;

/** The reserve of a store. */
interface Reserve {
  /** Null after its space had to be freed. */
  file: number | null;
  /** What all runs together have asked for. */
  bytes: number;
  /** The runs that are executed. */
  runs: number;
}

const reserves = new WeakMap<Pick<Store, "path">, Reserve>();

/**
 * Reserves some space of the disk while runs are executed. When the disk becomes full, {@link releaseReserve} frees it, so
 * that answers that are already paid can still be stored.
 * @param requests how many of a run may be in flight
 * @returns a function that frees the space, with the last run
 * @throws StoppedError when there is too little space; what other runs have reserved stays
 */
export function reserveSpace(store: Store, requests: number): () => void {
  checkSpace(store);
  const reserve = reserves.get(store) ?? { file: createReserve(store), bytes: 0, runs: 0 };
  reserves.set(store, reserve);
  const bytes = requests * ANSWER_BYTES + (reserve.bytes === 0 ? LEAST_BYTES : 0);
  reserve.bytes += bytes;
  reserve.runs += 1;
  try {
    enlarge(reserve, bytes);
  } catch (error) {
    const reason = isDiskError(error) ? diskError(store, error) : error;
    release(store);
    throw reason;
  }
  return () => release(store);
}

/** An empty file. It is unlinked, so that it disappears with its process, however that ends. */
function createReserve({ path: database }: Store): number {
  const path = `${database}-reserve-${process.pid}`;
  // A killed process with the same number may have left the file.
  rmSync(path, { force: true });
  const file = openSync(path, "wx", 0o600);
  rmSync(path);
  return file;
}

/** Makes the file of a reserve larger by so many bytes, or leaves it as it is. */
function enlarge({ file }: Reserve, bytes: number): void {
  if (file === null) return;
  const before = fstatSync(file).size;
  try {
    // Random bytes, because a file system with compression would need no space for others.
    const piece = randomBytes(1024 * 1024);
    for (let at = before; at < before + bytes;) {
      at += writeSync(file, piece, 0, Math.min(before + bytes - at, piece.length), at);
    }
  } catch (error) {
    ftruncateSync(file, before);
    throw error;
  }
}

/** Frees the reserve with the last of the runs that are executed. */
function release(store: Store): void {
  const reserve = reserves.get(store);
  if (!reserve) return;
  reserve.runs -= 1;
  if (reserve.runs > 0) return;
  releaseReserve(store);
  reserves.delete(store);
}

/** Frees the reserved space. @returns whether there was any */
export function releaseReserve(store: Store): boolean {
  const reserve = reserves.get(store);
  if (!reserve || reserve.file === null) return false;
  closeSync(reserve.file);
  reserve.file = null;
  return true;
}

/** @throws StoppedError after the reserved space had to be freed */
export function checkSpace(store: Store): void {
  if (reserves.get(store)?.file === null) throw diskFull(store);
}

/** Whether an error may mean that the disk is full, so that freeing the reserve can help. */
export function isDiskFull(error: unknown): boolean {
  return /^(SQLITE_FULL|SQLITE_IOERR_WRITE|SQLITE_IOERR_SHMSIZE|ENOSPC|EDQUOT)$/.test(errorCode(error) ?? "");
}

/** Whether an error comes from the disk: it is full, or cannot be read or written. */
export function isDiskError(error: unknown): boolean {
  return isDiskFull(error) || /^(SQLITE_IOERR\w*|EIO|EFBIG|EROFS)$/.test(errorCode(error) ?? "");
}

/** The error to show for an error of the disk: that it is full, or that it fails. */
export function diskError(store: Pick<Store, "path">, cause: unknown): StoppedError {
  const code = errorCode(cause) ?? "";
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)$/.test(code)) return diskFull(store, cause);
  // SQLite has the same code for an exhausted quota and for a failing disk.
  if (/^SQLITE_IOERR_(WRITE|SHMSIZE|TRUNCATE|\w*FSYNC)$/.test(code) && isFull(dirname(store.path))) {
    return diskFull(store, cause);
  }
  return new StoppedError(
    `the disk of ${store.path} cannot be read or written (${code})`,
    "The system's log says what is wrong with it. Everything that was stored before is kept.",
    cause,
  );
}

/** Whether a folder has too little room, by its disk or by a quota. */
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

/** The error for a full disk. Its hint asks for the space that a run reserves. */
export function diskFull(store: Pick<Store, "path">, cause?: unknown): StoppedError {
  const megabytes = Math.ceil((reserves.get(store)?.bytes ?? LEAST_BYTES) / 1024 / 1024);
  return new StoppedError(`the disk of ${store.path} is full`, `Make room on it, at least ${megabytes} MB.`, cause);
}
