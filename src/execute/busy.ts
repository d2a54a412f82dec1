import type { CallError } from "../providers/provider.ts";
import { isBusy } from "../providers/refusal.ts";

/** A server that is busy within this time after an answer may have a limit; later, it is unavailable. */
const LATELY_MS = 30_000;

/**
 * Decides whether a server that says "busy" has a limit or is unavailable. Some proxies say "busy" to requests above a
 * limit. It is a limit if several calls are refused while others are answered. The caller passes the time.
 */
export class BusyServer {
  #answeredAt = Number.NEGATIVE_INFINITY;
  /** The last call that was refused because the server was busy. */
  #refused: { id: number; at: number } | null = null;

  answered(now: number): void {
    this.#answeredAt = now;
  }

  /** Whether a call was refused because of a limit. */
  isLimit(callId: number, error: CallError, now: number): boolean {
    if (!isBusy(error)) return false;
    const before = this.#refused;
    this.#refused = { id: callId, at: now };
    const isAnswering = now - this.#answeredAt < LATELY_MS;
    return isAnswering && before !== null && before.id !== callId && now - before.at < LATELY_MS;
  }
}
