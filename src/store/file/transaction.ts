import { errorCode } from "../../errors.ts";
import { diskError, giveUpReserve, isDiskError, isDiskFull } from "./space.ts";
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
    if (!isDiskFull(error) || !giveUpReserve(store)) throw diskError(store, error);
    return inTransaction(store, body);
  }
}

/**
 * Runs `body`, which is no part of a transaction and removes rows after those that refer to them: the check itself would
 * look through all calls for every perspective and batch.
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
 * Whether an error says that another process kept the database locked for too long.
 * @internal
 */
export function isLocked(error: unknown): boolean {
  return errorCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}

/**
 * What `body` yields, while it sees the database as it stood at one moment. The store must not be written to until then.
 * @internal
 */
export function* atOneMoment<T>({ sqlite }: Store, body: () => Iterable<T>): Generator<T> {
  sqlite.exec("begin");
  try {
    yield* body();
  } finally {
    // An error of the disk may have ended it.
    if (sqlite.inTransaction) sqlite.exec("commit");
  }
}
