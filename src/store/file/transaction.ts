import { errorCode } from "../../errors.ts";
import { diskError, releaseReserve, isDiskError, isDiskFull } from "./space.ts";
import type { Store } from "./store.ts";

/**
 * Runs `body` as one transaction that takes the write lock at its start.
 * @throws StoppedError when the disk is full or fails; what the transaction did is undone
 * @internal
 */
export function inTransaction<T>(store: Store, body: () => T): T {
  try {
    return store.sqlite.transaction(body).immediate();
  } catch (error) {
    if (!isDiskError(error)) throw error;
    if (!isDiskFull(error) || !releaseReserve(store)) throw diskError(store, error);
    return inTransaction(store, body);
  }
}

/**
 * Runs `body` without checks of foreign keys. It must not be inside a transaction, and it must remove rows only after the
 * rows that refer to them. For every perspective and batch, the checks would read all calls.
 * @internal
 */
export function withoutReferenceChecks<T>({ sqlite }: Store, body: () => T): T {
  sqlite.pragma("foreign_keys = OFF");
  try {
    return body();
  } finally {
    sqlite.pragma("foreign_keys = ON");
  }
}

/**
 * Whether an error means that another process kept the database locked for too long.
 * @internal
 */
export function isLocked(error: unknown): boolean {
  return errorCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}

/**
 * Yields what `body` yields. `body` sees the database at one moment. The store must not be written to before the end.
 * @internal
 */
export function* atOneMoment<T>({ sqlite }: Store, body: () => Iterable<T>): Generator<T> {
  sqlite.exec("begin");
  try {
    yield* body();
  } finally {
    // An error of the disk may have ended the transaction.
    if (sqlite.inTransaction) sqlite.exec("commit");
  }
}

/**
 * Runs `body`, which sees the database at one moment. Nothing else may use the store before it ends.
 * @internal
 */
export async function readAtOneMoment<T>({ sqlite }: Store, body: () => Promise<T>): Promise<T> {
  sqlite.exec("begin");
  try {
    return await body();
  } finally {
    if (sqlite.inTransaction) sqlite.exec("commit");
  }
}
