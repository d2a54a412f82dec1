import type { Step } from "../plan/calls.ts";
import type { CallError, Provider } from "../providers/provider.ts";
import { isOverload } from "../providers/refusal.ts";
import { BusyServer } from "./busy.ts";
import { AdaptiveConcurrency } from "./concurrency.ts";
import type { Job, JobServer } from "./executor.ts";
import { Outage } from "./outage.ts";
import type { Sent } from "./outcome.ts";
import { Pace, type Ticket, type TokenCost, type Wait } from "./pace.ts";

/**
 * The way to one server: how many requests it has, how fast they may be sent, and whether it answers. The caller passes the
 * time.
 */
export class Lane {
  readonly name: string;
  /** Null if workers ask it. */
  readonly provider: Provider | null;
  readonly outage: Outage;
  readonly #pace: Pace;
  readonly #concurrency: AdaptiveConcurrency;
  readonly #busy = new BusyServer();
  #inFlight = 0;
  /** The most requests that workers take. */
  #window = Number.POSITIVE_INFINITY;

  constructor({ name, provider }: JobServer, job: Job, now: number) {
    this.name = name;
    this.provider = provider;
    this.outage = new Outage(job.giveUpAfterMs, now);
    this.#pace = new Pace(job.limits, now, Date.now() - now);
    // With a queue, the workers say how many.
    this.#concurrency = new AdaptiveConcurrency(job.queue ? Number.POSITIVE_INFINITY : job.concurrency, job.timeoutMs);
    if (job.queue) this.setWindow(0);
  }

  /** Says how many requests may be with workers, or wait for them. */
  setWindow(requests: number): void {
    this.#window = requests;
    this.#concurrency.setMost(requests);
  }

  /** How many requests it has. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many requests it may have. */
  get room(): number {
    const room = this.outage.isOn || this.outage.isSuspected ? 1 : this.#concurrency.current;
    return Math.min(room, this.#window);
  }

  /** Whether the tokens of requests count. */
  get countsTokens(): boolean {
    return this.#pace.countsTokens;
  }

  /** How long a request has to wait; `for` is null if it waits because the server does not answer. */
  wait(now: number, tokens: TokenCost): { ms: number; for: Wait["for"] | null } {
    const paced = this.#pace.wait(now, tokens);
    const outageMs = this.outage.wait(now);
    return outageMs > paced.ms ? { ms: outageMs, for: null } : paced;
  }

  send(now: number, tokens: TokenCost): Ticket {
    this.#inFlight += 1;
    return this.#pace.send(now, tokens);
  }

  /**
   * Learns from the end of a request.
   * @param hasAnswers whether any server has answered a call of the run
   * @returns whether it was refused for its rate
   */
  end(callId: number, ticket: Ticket, { error, limits }: Sent, now: number, hasAnswers: boolean): boolean {
    const inFlight = this.#inFlight;
    this.#inFlight -= 1;
    const isLimit = error !== null && (error.reason === "rate_limited" || this.#busy.isLimit(callId, error, now));
    const ending = !error ? "accepted" : isLimit ? "rate_limited" : "failed";
    const retryAfterMs = error?.details.retryAfterMs ?? null;
    const isSlowedDown = this.#pace.end(ticket, now, ending, { limits, retryAfterMs });
    if (isSlowedDown) this.#concurrency.refused(now, inFlight);
    if (error && !isLimit && this.#isOverloaded(error, hasAnswers)) {
      this.#concurrency.overloaded(now, ticket.sentAt, inFlight);
    }
    return isLimit;
  }

  /** A call was answered. @returns whether this ended an outage */
  answered(now: number, step: Step, durationMs: number): boolean {
    this.#busy.answered(now);
    this.#concurrency.answered(now, step, durationMs);
    return this.outage.answered(now);
  }

  #isOverloaded(error: CallError, hasAnswers: boolean): boolean {
    return !this.outage.isOn && hasAnswers && isOverload(error);
  }
}
