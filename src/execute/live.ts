import pLimit from "p-limit";
import { StoppedError } from "../errors.ts";
import type { CallError, FailureReason } from "../providers/provider.ts";
import { openAttempts, type Reservation } from "../store/results.ts";
import { Backlog, type Waiting } from "./backlog.ts";
import { Cap, capReached, createReservations } from "./cap.ts";
import { Charge } from "./charge.ts";
import { createCommitter } from "./committer.ts";
import { AdaptiveConcurrency } from "./concurrency.ts";
import { createEarlier } from "./earlier.ts";
import type { Executor, Job } from "./executor.ts";
import { Outage } from "./outage.ts";
import { type Ending, Pace, type Ticket } from "./pace.ts";
import { createRequests, type PreparedRequest, type Sent } from "./request.ts";
import { decide, isUnreachable, kindOf, NO_TRIES, type Tries } from "./retry.ts";
import { stopped } from "./stops.ts";

/** Requests of their own for each call, as many and as fast as the provider allows; no call waits for a slower one. */
export const live: Executor = {
  async execute(job) {
    const reservationOf = await createReservations(job.settings, job.cap !== null && job.isCountExact);
    await new Promise<void>((resolve, reject) => start(job, reservationOf, resolve, reject));
  },
};

/** A call at the head of the line, rendered and waiting for the pace. */
interface Head extends Waiting {
  request: PreparedRequest;
  /** What the provider charges against its limit of tokens. */
  tokens: number;
  reserved: Reservation;
  /** What it may cost, in billionths of a US dollar; 0 where the run has no cap. */
  most: number;
}

/** A request that is about to be sent, or was. */
type Sending = Head & { ticket: Ticket };

function start(
  job: Job,
  reservationOf: (request: PreparedRequest) => Reservation,
  resolve: () => void,
  reject: (error: unknown) => void,
): void {
  const now = () => performance.now();
  const backlog = new Backlog(job.store, job.runId);
  const { prepare, send } = createRequests(job);
  const commit = createCommitter(job.store, job.lease, job.settingsId, job.onEvent);
  const concurrency = new AdaptiveConcurrency(job.concurrency);
  const pace = new Pace(job.limits, now());
  const charge = new Charge();
  const earlier = createEarlier(job);
  const outage = new Outage(job.giveUpAfterMs, now());
  const cap = job.cap && job.prices && new Cap(job.prices, job.cap, 1);
  const limit = pLimit(concurrency.current);
  const delays = new Set<NodeJS.Timeout>();
  let head: Head | undefined;
  let wake: NodeJS.Timeout | undefined;
  let failure: unknown;
  let isOver = false;

  const inFlight = () => limit.activeCount + limit.pendingCount;
  const isStopping = () => failure !== undefined || job.drain.aborted;

  /** Sends what can be sent now, and sees when there is nothing left. Runs after everything that changes that. */
  function pump(): void {
    if (isOver) return;
    try {
      fill();
    } catch (error) {
      failure ??= error;
    }
    if (inFlight() > 0 || (!isStopping() && (delays.size > 0 || head))) return;
    isOver = true;
    clearTimeout(wake);
    for (const timer of delays) clearTimeout(timer);
    job.drain.removeEventListener("abort", pump);
    if (failure === undefined) resolve();
    else reject(failure);
  }

  function fill(): void {
    clearTimeout(wake);
    limit.concurrency = outage.isOn || outage.isSuspected ? 1 : concurrency.current;
    const leaving: Sending[] = [];
    while (!isStopping() && inFlight() + leaving.length < limit.concurrency) {
      head ??= next();
      if (!head) break;
      const wait = Math.max(pace.wait(now(), head.tokens), outage.wait(now()));
      if (wait > 0) {
        wake = setTimeout(pump, Math.max(1, wait));
        break;
      }
      if (cap?.reserve(head.most) === false) {
        // What is in flight mostly costs less than it may.
        if (inFlight() + leaving.length === 0) failure ??= capReached(head.most, job);
        break;
      }
      leaving.push({ ...head, ticket: pace.send(now(), head.tokens) });
      head = undefined;
    }
    if (leaving.length > 0) launch(leaving);
  }

  function launch(leaving: readonly Sending[]): void {
    const attempts = openAttempts(
      job.store,
      job.lease,
      leaving.map(({ call, reserved }) => ({ call, reserved })),
    );
    for (const [at, sending] of leaving.entries()) {
      const attemptId = attempts[at];
      if (attemptId !== undefined) void limit(() => perform(sending, attemptId)).then(pump);
    }
  }

  function next(): Head | undefined {
    for (let waiting = backlog.next(outage.isOn); waiting; waiting = backlog.next(outage.isOn)) {
      const request = prepare(waiting.call);
      if (waiting.tries === NO_TRIES && earlier.take(request)) continue;
      const reserved = reservationOf(request);
      const tokens = pace.countsTokens ? charge.of(request) : 0;
      return { ...waiting, request, reserved, tokens, most: cap?.mostOf(reserved) ?? 0 };
    }
    return undefined;
  }

  async function perform(sending: Sending, attemptId: number): Promise<void> {
    const { call, request, reserved, most, ticket } = sending;
    try {
      const sent = await send(request, attemptId, reserved);
      const { result, error, limits } = sent;
      const isSlowedDown = pace.end(ticket, now(), endingOf(error), limits);
      if (isSlowedDown) concurrency.refused(now(), inFlight());
      if (error) {
        await settle(sending, sent, error);
      } else {
        charge.learn(request, result.attempt);
        concurrency.answered(now(), call.step, result.attempt.durationMs);
        if (outage.answered(now())) job.onEvent({ type: "recovered" });
        await commit(result);
        if (call.step === "reading") backlog.addStrategyOf(call);
      }
      cap?.settle(most, result.attempt.costNanoUsd);
    } catch (error) {
      failure ??= error;
    }
  }

  async function settle({ call, tries }: Waiting, { result }: Sent, error: CallError): Promise<void> {
    const { reason, message, details } = error;
    watch(error, tries);
    const { decision, tries: counted } =
      outage.isOn && isNobodysFault(error)
        ? { decision: { action: "retry", delayMs: 0 } as const, tries }
        : decide(reason, details.retryAfterMs, tries, job.maxAttempts, Math.random());
    await commit({ ...result, attempt: { ...result.attempt, decision: decision.action } });
    if (decision.action === "stop") {
      failure ??= stopped(reason, message, job);
    } else if (decision.action === "retry") {
      job.onEvent({ type: "retrying", reason, message, delayMs: decision.delayMs });
      retryLater({ call, tries: counted }, decision.delayMs);
    } else if (call.step === "reading") {
      // Where there are no notes, or those that were there stay, it can go on.
      backlog.addStrategyOf(call);
    }
  }

  /** Tells a failure to the watch for outages. */
  function watch(error: CallError, tries: Tries): void {
    const { reason, message } = error;
    const kind = kindOf(reason);
    // A call that failed before may be at fault itself: it says nothing of the provider.
    if (kind === "transient" && tries.transient > 0 && !outage.isOn && !isAway(error)) return;
    if (kind === "transient" || kind === "rateLimited") {
      const { hasBegun, isHopeless } = outage.failed(now(), kind === "rateLimited");
      if (hasBegun) job.onEvent({ type: "outage", reason, message });
      if (isHopeless) failure ??= hopeless(reason, message, job);
    } else if (kind !== "stop" && outage.answered(now())) {
      job.onEvent({ type: "recovered" });
    }
  }

  /**
   * Whether a failure in an outage says nothing of its call. Where no other calls are left to tell by, that is so only
   * while the provider is away.
   */
  function isNobodysFault(error: CallError): boolean {
    return kindOf(error.reason) === "transient" && (backlog.hasFresh || isAway(error));
  }

  function retryLater(waiting: Waiting, delayMs: number): void {
    const timer = setTimeout(() => {
      delays.delete(timer);
      backlog.add(waiting);
      pump();
    }, delayMs);
    delays.add(timer);
  }

  job.drain.addEventListener("abort", pump);
  pump();
}

/** Statuses of a gateway whose server is away, or that takes no requests for now. */
const AWAY = new Set([502, 503, 504, 529]);

/** Whether a failure is the provider's alone, whatever it was asked. */
function isAway(error: CallError): boolean {
  return isUnreachable(error) || AWAY.has(error.details.httpStatus ?? 0);
}

function endingOf(error: CallError | null): Ending {
  if (!error) return "accepted";
  return error.reason === "rate_limited" ? "rate_limited" : "failed";
}

function hopeless(reason: FailureReason, message: string, { server, giveUpAfterMs }: Job): StoppedError {
  return new StoppedError(
    `${server} has answered nothing for ${Math.round(giveUpAfterMs / 1_000)} seconds; the last failure was ${reason}: ${message}`,
    "Resume the run once the provider answers again; give_up_after_s in the config says how long to wait for it.",
  );
}
