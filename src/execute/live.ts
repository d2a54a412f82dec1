import pLimit from "p-limit";
import { StoppedError } from "../errors.ts";
import type { CallError, FailureReason } from "../providers/provider.ts";
import type { OpenCall } from "../store/calls.ts";
import { commitResults, commitTurn, type Reservation, type Result } from "../store/results.ts";
import { checkSpace } from "../store/space.ts";
import { BackgroundFlush } from "../store/flush.ts";
import { Backlog, type Waiting } from "./backlog.ts";
import { Cap, createReservations } from "./cap.ts";
import { Charge } from "./charge.ts";
import { AdaptiveConcurrency } from "./concurrency.ts";
import { Doubts } from "./doubts.ts";
import { createEarlier } from "./earlier.ts";
import type { Executor, Job } from "./executor.ts";
import { LoneRefusals } from "./lone-refusals.ts";
import { Outage } from "./outage.ts";
import { type Ending, Pace, type Ticket } from "./pace.ts";
import { createRequests, type PreparedRequest } from "./request.ts";
import { decide, isAway, kindOf, NO_TRIES, type Tries } from "./retry.ts";
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
  /** What is set aside for it, in billionths of a US dollar; 0 where the run has no cap. */
  most: number;
}

/** A request that is about to be sent, or was. */
type Sending = Head & { ticket: Ticket };

/** What came of a request, and what is to be done once that is stored. */
interface Arrival {
  result: Result;
  onStored: () => void;
}

/** Of the requests in flight, so many share a transaction when they come back at about the same time. */
const GATHERED_SHARE = 1 / 6;
/** How long a result waits for others to be stored with. */
const GATHER_MS = 1;

/** After how long a request is sent again that found no connection. */
const UNREACHABLE_DELAY_MS = 250;

/** After how long it is asked again at the latest whether a request can be sent: timers take no number of any size. */
const LONGEST_WAIT_MS = 60_000;

/**
 * Goes in turns. In each, what has come back is stored, and what can be sent is written down as about to be sent, in one
 * transaction, as that costs more than what it writes. Those who come back together are not all of one turn: all
 * requests would wait for each other, and leave and come back together ever after.
 */
function start(
  job: Job,
  reservationOf: (request: PreparedRequest) => Reservation,
  resolve: () => void,
  reject: (error: unknown) => void,
): void {
  const now = () => performance.now();
  const backlog = new Backlog(job.store, job.runId);
  const { prepare, send } = createRequests(job);
  const concurrency = new AdaptiveConcurrency(job.concurrency);
  const pace = new Pace(job.limits, now());
  const charge = new Charge();
  const earlier = createEarlier(job);
  const outage = new Outage(job.giveUpAfterMs, now());
  const doubts = new Doubts(job.hasAnswers);
  const lone = new LoneRefusals();
  const cap = job.cap && job.prices && new Cap(job.prices, job.cap, 1);
  const limit = pLimit(concurrency.current);
  const flush = new BackgroundFlush(job.store);
  const delays = new Set<NodeJS.Timeout>();
  let arrivals: Arrival[] = [];
  /** Results that could not be stored. */
  const unstored: Result[] = [];
  let head: Head | undefined;
  let wake: NodeJS.Timeout | undefined;
  let due: NodeJS.Timeout | undefined;
  let inFlight = 0;
  let failure: unknown;
  let isOver = false;

  const isStopping = () => failure !== undefined || job.drain.aborted;

  /** To be called when a request has come back: has it stored with others, if any come soon. */
  function gather(): void {
    if (inFlight === 0 || arrivals.length >= limit.concurrency * GATHERED_SHARE) turn();
    else due ??= setTimeout(turn, GATHER_MS);
  }

  function drain(): void {
    due ??= setTimeout(turn, 0);
  }

  function turn(): void {
    clearTimeout(due);
    due = undefined;
    if (isOver) return;
    const came = arrivals;
    arrivals = [];
    try {
      // The strategy of a reading goes next, and is ready only once its notes are stored.
      store(came, came.some(({ result }) => result.call.step === "reading") ? [] : pick());
    } catch (error) {
      failure ??= error;
    }
    if (came.length > 0) turn();
    else if (inFlight === 0 && (isStopping() || (delays.size === 0 && !head))) end();
  }

  function end(): void {
    isOver = true;
    clearTimeout(wake);
    try {
      if (unstored.length > 0) storeAtLast();
    } catch (error) {
      failure ??= error;
    }
    flush[Symbol.dispose]();
    for (const timer of delays) clearTimeout(timer);
    job.drain.removeEventListener("abort", drain);
    if (failure === undefined) resolve();
    else reject(failure);
  }

  function store(came: readonly Arrival[], leaving: readonly Sending[]): void {
    if (came.length + leaving.length === 0) return;
    const { delta, attemptIds } = commit(came, leaving);
    flush.committed();
    for (const [at, sending] of leaving.entries()) {
      const attemptId = attemptIds[at];
      if (attemptId === undefined) continue;
      inFlight += 1;
      void limit(() => perform(sending, attemptId));
    }
    if (came.length > 0) job.onEvent({ type: "stored", delta });
    checkSpace(job.store);
    for (const { onStored } of came) onStored();
  }

  function commit(came: readonly Arrival[], leaving: readonly Sending[]): ReturnType<typeof commitTurn> {
    const results = came.map(({ result }) => result);
    try {
      return commitTurn(job.store, job.lease, job.settingsId, { came: results, leaving });
    } catch (error) {
      unstored.push(...results);
      throw error;
    }
  }

  /** What was in the way may be gone by the end. */
  function storeAtLast(): void {
    let delta;
    try {
      delta = commitResults(job.store, job.lease, job.settingsId, unstored);
    } catch {
      // Why is known: it is what has stopped the run.
      job.onEvent({ type: "lost", results: unstored.length });
      return;
    }
    job.onEvent({ type: "stored", delta });
  }

  /** The requests that can be sent now. */
  function pick(): Sending[] {
    clearTimeout(wake);
    limit.concurrency = outage.isOn || outage.isSuspected || doubts.isSuspected ? 1 : concurrency.current;
    const leaving: Sending[] = [];
    try {
      while (!isStopping() && inFlight + leaving.length < limit.concurrency) {
        head ??= next();
        if (!head) break;
        const wait = Math.max(pace.wait(now(), head.tokens), outage.wait(now()));
        if (wait > 0) {
          wake = setTimeout(turn, Math.min(LONGEST_WAIT_MS, Math.max(1, wait)));
          break;
        }
        if (cap?.reserve(head.most) === false) {
          // What is in flight mostly costs less than it may.
          if (inFlight + leaving.length === 0) failure ??= cap.reached(head.most);
          break;
        }
        leaving.push({ ...head, ticket: pace.send(now(), head.tokens) });
        head = undefined;
      }
    } catch (error) {
      // What came is to be stored all the same.
      failure ??= error;
    }
    return leaving;
  }

  function next(): Head | undefined {
    for (let waiting = backlog.next(outage.isOn); waiting; waiting = backlog.next(outage.isOn)) {
      const request = prepare(waiting.call);
      if (waiting.tries === NO_TRIES && earlier.take(request)) continue;
      const reserved = reservationOf(request);
      const tokens = pace.countsTokens ? charge.of(request) : 0;
      return { ...waiting, request, reserved, tokens, most: cap ? cap.mostOf(reserved) + cap.excess : 0 };
    }
    return undefined;
  }

  async function perform({ ticket, most, ...sending }: Sending, attemptId: number): Promise<void> {
    try {
      const sent = await send(sending.request, attemptId, sending.reserved);
      const isSlowedDown = pace.end(ticket, now(), endingOf(sent.error), sent.limits);
      if (isSlowedDown) concurrency.refused(now(), inFlight);
      cap?.settle(most, sending.reserved, sent.result.attempt.costNanoUsd);
      arrivals.push(sent.error ? failed(sending, sent.result, sent.error) : answered(sending, sent.result));
    } catch (error) {
      failure ??= error;
    }
    inFlight -= 1;
    gather();
  }

  function answered({ call, request }: Pick<Head, "call" | "request">, result: Result): Arrival {
    charge.learn(request, result.attempt);
    concurrency.answered(now(), call.step, result.attempt.durationMs);
    doubts.answered();
    lone.answered(call.id);
    if (outage.answered(now())) job.onEvent({ type: "recovered" });
    return {
      result,
      onStored() {
        if (call.step === "reading") backlog.addStrategyOf(call);
      },
    };
  }

  function failed({ call, tries }: Waiting, result: Result, error: CallError): Arrival {
    const { reason, message } = error;
    watch(error, tries);
    const { decision, tries: counted } = judge(call, tries, error);
    if (decision.action === "stop") failure ??= stopped(reason, message, job);
    return {
      result: { ...result, attempt: { ...result.attempt, decision: decision.action } },
      onStored() {
        if (decision.action === "retry") {
          job.onEvent({ type: "retrying", reason, message, delayMs: decision.delayMs });
          retryLater({ call, tries: counted }, decision.delayMs);
        } else if (decision.action === "fail" && call.step === "reading") {
          // Where there are no notes, or those that were there stay, it can go on.
          backlog.addStrategyOf(call);
        }
      },
    };
  }

  function judge({ id }: OpenCall, tries: Tries, error: CallError): ReturnType<typeof decide> {
    const { reason, details } = error;
    if (isUncounted(error)) {
      return { decision: { action: "retry", delayMs: outage.isOn ? 0 : UNREACHABLE_DELAY_MS }, tries };
    }
    if (reason === "rate_limited" && lone.refused(id)) return { decision: { action: "fail" }, tries };
    const doubt = kindOf(reason) === "doubtful" ? doubts.refused(id, othersThan) : undefined;
    return decide(reason, details.retryAfterMs, tries, job.maxAttempts, Math.random(), doubt);
  }

  /** How many calls may still be answered beside one that has come back and those that wait after a refusal. */
  function othersThan(refused: number): number {
    return inFlight - 1 + Number(backlog.hasFresh) + Math.max(0, delays.size - (refused - 1));
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
   * Whether a failure says nothing of its call, and uses up no attempt: the request has not left, or there is an outage.
   * Where no other calls are left to tell by, an outage excuses a call only while the provider is away.
   */
  function isUncounted(error: CallError): boolean {
    if (kindOf(error.reason) !== "transient") return false;
    return !error.details.hasLeft || (outage.isOn && (backlog.hasFresh || isAway(error)));
  }

  function retryLater(waiting: Waiting, delayMs: number): void {
    const timer = setTimeout(() => {
      delays.delete(timer);
      backlog.add(waiting);
      turn();
    }, delayMs);
    delays.add(timer);
  }

  job.drain.addEventListener("abort", drain);
  turn();
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
