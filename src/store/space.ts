import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { errorCode, StoppedError } from "../errors.ts";
import type { Store } from "./open.ts";

/** Room for the answers to the requests that are in flight when the disk turns out to be full. */
const RESERVE_BYTES = 16 * 1024 * 1024;

const reserves = new WeakMap<Store, "held" | "used">();

/**
 * Holds some space of the disk back while a run is executed. When the disk is full, it is given up so that what is
 * already paid for can still be stored; see {@link giveUpReserve}.
 * @returns what gives the space back
 * @throws StoppedError when there is not that much space
 */
export function reserveSpace(store: Store): () => void {
  const path = reserveOf(store);
  try {
    writeFileSync(path, Buffer.alloc(RESERVE_BYTES, 0x64));
  } catch (error) {
    rmSync(path, { force: true });
    if (errorCode(error) !== "ENOSPC") throw error;
    throw diskFull(store, error);
  }
  reserves.set(store, "held");
  const remove = () => rmSync(path, { force: true });
  process.once("exit", remove);
  return () => {
    process.off("exit", remove);
    reserves.delete(store);
    remove();
  };
}

/** Each process holds its own. */
function reserveOf(store: Store): string {
  return `${store.path}-reserve-${process.pid}`;
}

/** Frees the space that was held back. @returns whether there was any */
export function giveUpReserve(store: Store): boolean {
  if (reserves.get(store) !== "held") return false;
  rmSync(reserveOf(store), { force: true });
  reserves.set(store, "used");
  return true;
}

/** @throws StoppedError once the space that was held back had to be used */
export function checkSpace(store: Store): void {
  if (reserves.get(store) === "used") throw diskFull(store);
}

/** Whether an error says that the disk is full. */
export function isDiskFull(error: unknown): boolean {
  return /^(SQLITE_FULL|SQLITE_IOERR_WRITE|SQLITE_IOERR_SHMSIZE|ENOSPC|EDQUOT)$/.test(errorCode(error) ?? "");
}

export function diskFull(store: Pick<Store, "path">, cause?: unknown): StoppedError {
  return new StoppedError(
    `the disk of ${store.path} is full`,
    `Make room on it (at least ${RESERVE_BYTES / 1024 / 1024} MB); nothing that came back is lost.`,
    cause,
  );
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
