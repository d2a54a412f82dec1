import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { errorCode, StoppedError } from "../errors.ts";
import type { Store } from "./open.ts";

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
  const file = openSync(path, "w");
  reserves.set(store, { file, bytes });
  try {
    // A file without a name goes with its process, however that ends.
    rmSync(path);
    const piece = Buffer.alloc(1024 * 1024, 0x64);
    for (let left = bytes; left > 0;) left -= writeSync(file, piece, 0, Math.min(left, piece.length));
  } catch (error) {
    giveUpReserve(store);
    if (!isDiskFull(error)) throw error;
    throw diskFull(store, error);
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

/** Whether an error says that the disk is full. */
export function isDiskFull(error: unknown): boolean {
  return /^(SQLITE_FULL|SQLITE_IOERR_WRITE|SQLITE_IOERR_SHMSIZE|ENOSPC|EDQUOT)$/.test(errorCode(error) ?? "");
}

/** Says that what is held back while a run is executed has to be free at least. */
export function diskFull(store: Pick<Store, "path">, cause?: unknown): StoppedError {
  const megabytes = Math.ceil((reserves.get(store)?.bytes ?? LEAST_BYTES) / 1024 / 1024);
  return new StoppedError(`the disk of ${store.path} is full`, `Make room on it, at least ${megabytes} MB.`, cause);
}

/** Magic numbers of network file systems in statfs(2): NFS, SMB, CIFS, SMB2, 9P, AFS, Ceph, Lustre, Coda. */
const NETWORK_FILE_SYSTEMS = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x5346414f, 0x00c36400, 0x0bd00bd0, 0x73757245,
]);

/** Whether a folder is on a file system that several machines share, where SQLite's WAL is not safe. */
export function isOnNetwork(folder: string, typeOf: (path: string) => number = fileSystemType): boolean {
  // Some systems give the number as a signed one.
  return NETWORK_FILE_SYSTEMS.has(typeOf(folder) >>> 0);
}

function fileSystemType(path: string): number {
  return statfsSync(path).type;
}
