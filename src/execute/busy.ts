import type { CallError } from "../providers/provider.ts";
import { isBusy } from "../providers/refusal.ts";

/** A server that says that it is busy within this time after an answer has a limit; later, it is unavailable. */
const LATELY_MS = 5_000;

/**
 * Tells a server with a limit from one that is unavailable, where both say "busy". Some proxies refuse requests above a
 * limit so. It is a limit if several calls are refused while others are answered. Pure.
 */
export class BusyServer {
  #answeredAt = Number.NEGATIVE_INFINITY;
  /** The last call that was refused because the server was busy. */
  #refused: { id: number; at: number } | null = null;

  /** Whether it has answered anything. */
  get hasAnswered(): boolean {
    return Number.isFinite(this.#answeredAt);
  }

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
