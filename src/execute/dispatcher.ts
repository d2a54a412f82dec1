import type { CallError } from "../providers/provider.ts";
import { promptLength } from "../models/prompt.ts";
import { isAway } from "../providers/refusal.ts";
import { type OpenCall, reopenRefused } from "../store/runs/calls.ts";
import { LATE, type Reservation, type Result } from "../store/runs/result.ts";
import { Backlog, type Waiting } from "./backlog.ts";
import { Cap } from "./cap.ts";
import { Charge } from "./charge.ts";
import { Delays } from "./delays.ts";
import type { Arrival, Dispatched, Failure, Head, Picked } from "./dispatched.ts";
import { Doubts } from "./doubts.ts";
import { createEarlier, type Earlier } from "./earlier.ts";
import type { Job } from "./executor.ts";
import { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { LoneRefusals } from "./lone-refusals.ts";
import type { Sent } from "./outcome.ts";
import { NO_TOKENS, statedWait, type Wait } from "./pace.ts";
import type { PreparedRequest } from "./prepare.ts";
import { createPrefixOf } from "./prefixes.ts";
import { decide, isUncounted, kindOf, NO_TRIES, type Tries } from "./retry.ts";
import { SameRefusal } from "./same-refusal.ts";
import { providerDown, refusedAlike, stopped } from "./stops.ts";

/** In UTF-16 code units; in memory, the prompts take several times as many bytes. One prompt may always be sent. */
const MOST_PROMPTS_IN_FLIGHT = 16_000_000;

/** How long a run waits for a limit to end. The longest window of a limit is a day. */
const LONGEST_LIMIT_MS = 25 * 3_600_000;

/** A shorter wait is not reported. */
const LONG_WAIT_MS = 2_000;

const UNREACHABLE_DELAY_MS = 250;

/**
 * Decides which call is sent when: by the order of the plan, the pace, the cap, the state of the provider, and earlier
 * failures. It sends and stores nothing, and sets no timer. The caller passes the time, in milliseconds of one clock.
 */
export class Dispatcher {
  readonly #job: Job;
  readonly #prepare: (call: OpenCall) => PreparedRequest;
  readonly #reservationOf: (request: PreparedRequest) => Reservation;
  readonly #backlog: Backlog;
  readonly #delays = new Delays();
  readonly #earlier: Earlier;
  readonly #lanes: Lanes;
  readonly #charge = new Charge();
  readonly #doubts: Doubts;
  readonly #lone = new LoneRefusals();
  readonly #same = new SameRefusal();
  readonly #cap: Cap | null;
  #failure: unknown;
  #head: Head | undefined;
  #promptsInFlight = 0;
  /** The longest wait that a refusal has stated. */
  #longestStatedMs = 0;
  /** The end of the wait that was reported last. */
  #toldUntil = Number.NEGATIVE_INFINITY;

  constructor(
    job: Job,
    now: number,
    prepare: (call: OpenCall) => PreparedRequest,
    reservationOf: (request: PreparedRequest) => Reservation,
  ) {
    this.#job = job;
    this.#prepare = prepare;
    this.#reservationOf = reservationOf;
    this.#backlog = new Backlog(job.store, job.runId, createPrefixOf(job));
    this.#earlier = createEarlier(job);
    this.#lanes = new Lanes(job, now);
    this.#doubts = new Doubts(job.hasAnswers);
    this.#cap = job.cap && new Cap(job.cap, 1);
  }

  get lanes(): readonly Lane[] {
    return this.#lanes.all;
  }

  /** Why the run stops early; undefined while it continues. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Stops the run. The first reason counts. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  get #isStopping(): boolean {
    return this.#failure !== undefined || this.#job.drain.aborted;
  }

  /** Whether every call that is left is in flight. */
  get isDone(): boolean {
    return this.#isStopping || (this.#delays.isEmpty && !this.#head);
  }

  /** How many requests may be in flight now. */
  get room(): number {
    return this.#doubts.isSuspected ? 1 : this.#lanes.room;
  }

  #hasRoom(inFlight: number): boolean {
    return this.#doubts.isSuspected ? inFlight === 0 : this.#lanes.hasRoom;
  }

  /** The requests that can be sent now, and when there may be more. */
  pick(now: number, inFlight: number): Picked {
    const picked: Picked = { leaving: [], waitMs: null };
    try {
      this.#fill(picked, now, inFlight);
    } catch (error) {
      // The caller still stores the results that have arrived.
      this.fail(error);
    }
    this.#cap?.count(this.#job.runId, inFlight + picked.leaving.length);
    return picked;
  }

  #fill(picked: Picked, now: number, inFlight: number): void {
    const { leaving } = picked;
    for (const waiting of this.#delays.takeDue(now)) this.#backlog.add(waiting);
    while (!this.#isStopping) {
      const hasRoom = this.#hasRoom(inFlight + leaving.length);
      // Without room for any request, too, it must be known whether a call is left.
      if (!hasRoom && inFlight + leaving.length > 0) return;
      this.#head ??= this.#next(inFlight + leaving.length === 0);
      if (!this.#head) {
        picked.waitMs = this.#delays.wait(now);
        return;
      }
      if (!hasRoom) return;
      const length = this.#promptsInFlight + promptLength(this.#head.request.prompt);
      if (length > MOST_PROMPTS_IN_FLIGHT && inFlight + leaving.length > 0) return;
      const lane = this.#lanes.next(this.#head.tokens, now);
      if (lane === undefined) return;
      if (!(lane instanceof Lane)) {
        picked.waitMs = lane.ms;
        if (lane.for !== null) this.#tellOf({ ms: lane.ms, for: lane.for }, now);
        return;
      }
      if (this.#cap?.reserve(this.#head.most) === false) {
        // Requests in flight usually cost less than was set aside for them.
        if (inFlight + leaving.length > 0) return;
        picked.waitMs = this.#cap.waitForOthers(this.#job.runId);
        if (picked.waitMs === null) this.fail(this.#cap.reached(this.#head.most));
        return;
      }
      this.#promptsInFlight += promptLength(this.#head.request.prompt);
      const ticket = lane.send(now, this.#head.tokens);
      const server = this.#lanes.areSeveral ? lane.name : null;
      leaving.push({ ...this.#head, lane, server, token: this.#job.queue?.newToken() ?? null, ticket });
      this.#head = undefined;
    }
  }

  /** Reports a long wait. */
  #tellOf({ ms, for: reason }: Wait, now: number): void {
    if (ms < LONG_WAIT_MS || Math.abs(now + ms - this.#toldUntil) < LONG_WAIT_MS) return;
    this.#toldUntil = now + ms;
    this.#job.onEvent({ type: "waiting", for: reason, untilMs: Date.now() + ms });
  }

  /** The next call, with its request. Calls before it that have an earlier answer reuse it. */
  #next(isIdle: boolean): Head | undefined {
    const isOn = this.#lanes.isOutage;
    for (let waiting = this.#backlog.next(isOn, isIdle); waiting; waiting = this.#backlog.next(isOn, isIdle)) {
      const request = this.#prepare(waiting.call);
      if (waiting.tries === NO_TRIES && this.#earlier.take(request)) {
        this.#backlog.answered(waiting, true);
        continue;
      }
      const reserved = this.#reservationOf(request);
      const tokens = this.#lanes.countsTokens ? this.#charge.of(request) : NO_TOKENS;
      const most = this.#cap ? this.#cap.mostOf(reserved) + this.#cap.excess : 0;
      return { ...waiting, request, reserved, tokens, most };
    }
    return undefined;
  }

  /**
   * Takes over a request that an earlier process has put into a queue, as if it had been sent now. Its most is set aside.
   * @param server its server, if there are several
   * @returns null if the server is not one of the run's
   */
  adopt(call: OpenCall, server: string | null, token: string, reserved: Reservation, now: number): Dispatched | null {
    const lane = this.#lanes.named(server);
    if (!lane) return null;
    const request = this.#prepare(call);
    this.#backlog.take(call.id);
    this.#promptsInFlight += promptLength(request.prompt);
    const tokens = this.#lanes.countsTokens ? this.#charge.of(request) : NO_TOKENS;
    const ticket = lane.send(now, tokens);
    const most = this.#cap?.mostOf(reserved) ?? 0;
    return { call, tries: NO_TRIES, request, tokens, reserved, most, lane, server, token, ticket };
  }

  /**
   * Decides what happens to a result whose request was given up before. If its call still waits to be sent, an answer is
   * that of the call; else only its cost is kept.
   * @param isOpen whether the call has no answer yet
   */
  settleLate({ result }: Sent, reserved: Reservation, isOpen: boolean): Arrival {
    const { call, attempt, answer } = result;
    if (this.#cap) this.#cap.settle(this.#cap.mostOf(reserved), reserved, attempt.costNanoUsd);
    const isAnswer = answer !== null && isOpen && !this.#isStopping && this.#withdraw(call.id);
    if (isAnswer) {
      return { result, onStored: () => (call.step === "reading" ? this.#backlog.addStrategyOf(call) : undefined) };
    }
    const outcome = answer === null ? attempt.outcome : LATE;
    return {
      result: { ...result, answer: null, attempt: { ...attempt, outcome, decision: "retry" } },
      onStored: () => {},
    };
  }

  /** Takes a call out of those that wait to be sent. @returns false if it does not wait */
  #withdraw(callId: number): boolean {
    if (this.#head?.call.id !== callId) return this.#delays.remove(callId) || this.#backlog.take(callId);
    this.#head = undefined;
    return true;
  }

  /**
   * Decides what happens to the call of a finished request.
   * @param inFlight how many requests are in flight, including this one
   */
  settle(dispatched: Dispatched, sent: Sent, now: number, inFlight: number): Arrival {
    const { lane, call, ticket, most, reserved } = dispatched;
    const { error, limits, result } = sent;
    this.#promptsInFlight -= promptLength(dispatched.request.prompt);
    const isLimit = lane.end(call.id, ticket, sent, now, this.#doubts.hasAnswers);
    this.#cap?.settle(most, reserved, result.attempt.costNanoUsd);
    if (!error) return this.#answered(dispatched, result, now);
    const statedMs = statedWait(limits, error.details.retryAfterMs ?? null);
    return this.#failed(dispatched, result, { lane, error, isLimit, statedMs, now, inFlight });
  }

  #answered(dispatched: Dispatched, result: Result, now: number): Arrival {
    const { lane, call, request } = dispatched;
    this.#charge.learn(request, result.attempt);
    this.#doubts.answered();
    this.#lone.answered(call.id);
    this.#same.answered();
    const wasOutage = this.#lanes.isOutage;
    if (lane.answered(now, call.step, result.attempt.durationMs)) this.#tellOfReturn(lane, wasOutage);
    return { result, onStored: () => this.#backlog.answered(dispatched) };
  }

  #failed(waiting: Waiting, result: Result, failure: Failure): Arrival {
    const { call, tries } = waiting;
    const { error, now, inFlight } = failure;
    const { reason, message } = error;
    this.#watch(failure, tries);
    const { decision, tries: counted } = this.#judge(call, tries, failure);
    if (decision.action === "stop") this.fail(stopped(reason, message, this.#job));
    const kind = kindOf(reason);
    if (kind === "content") this.#same.answered();
    const isAlike = kind === "fail" && this.#isRefusedAlike(call, error, inFlight);
    return {
      result: { ...result, attempt: { ...result.attempt, decision: decision.action } },
      onStored: () => {
        this.#backlog.unanswered(waiting);
        if (decision.action === "retry") {
          const { delayMs } = decision;
          this.#job.onEvent({ type: "retrying", reason, message, delayMs });
          this.#delays.add({ call, tries: counted }, now + delayMs);
        } else if (isAlike) {
          // Nothing is wrong with these calls: the config or the server refuses all of them.
          reopenRefused(this.#job.store, this.#job.lease, this.#same.calls);
        } else if (decision.action === "fail" && call.step === "reading") {
          // Without notes, or with earlier notes that stay, the strategy can be sent.
          this.#backlog.addStrategyOf(call);
        }
      },
    };
  }

  /** Whether all calls so far were refused with the same words as this one. Then the run stops. */
  #isRefusedAlike({ id }: OpenCall, error: CallError, inFlight: number): boolean {
    const hasOthers = inFlight > 1 || !this.#delays.isEmpty || this.#backlog.hasFresh;
    if (!this.#same.refused(id, error, hasOthers)) return false;
    this.fail(refusedAlike(this.#same.calls.length, error.message, this.#job));
    return true;
  }

  #judge({ id }: OpenCall, tries: Tries, { lane, error, isLimit, inFlight }: Failure): ReturnType<typeof decide> {
    const { reason, details } = error;
    if (isUncounted(error, lane.outage.isOn, () => this.#backlog.hasFresh)) {
      return { decision: { action: "retry", delayMs: lane.outage.isOn ? 0 : UNREACHABLE_DELAY_MS }, tries };
    }
    if (isLimit && this.#lone.refused(id)) return { decision: { action: "fail" }, tries };
    const others = (refused: number) => this.#othersThan(refused, inFlight);
    const doubt = kindOf(reason) === "doubtful" ? this.#doubts.refused(id, others) : undefined;
    return decide(
      isLimit ? "rate_limited" : reason,
      details.retryAfterMs,
      tries,
      this.#job.maxAttempts,
      Math.random(),
      doubt,
    );
  }

  /** How many calls may still be answered, besides a refused one and those that wait after a refusal. */
  #othersThan(refused: number, inFlight: number): number {
    return inFlight - 1 + Number(this.#backlog.hasFresh) + Math.max(0, this.#delays.size - (refused - 1));
  }

  /** Reports a failure to the detection of outages. */
  #watch({ lane, error, statedMs, now }: Failure, tries: Tries): void {
    const { reason, message } = error;
    const { outage } = lane;
    const kind = kindOf(reason);
    // These say nothing about the provider.
    if (kind === "lost" || reason === "not_processed") return;
    // A call that has failed before may itself be the cause, so it does not count as a sign of an outage.
    if (kind === "transient" && tries.transient > 0 && !outage.isOn && !isAway(error)) return;
    const wasOutage = this.#lanes.isOutage;
    if (kind === "transient" || kind === "rateLimited") {
      this.#longestStatedMs = Math.max(this.#longestStatedMs, statedMs);
      // A provider that has answered nothing yet may never do. It gets the time that it asks for.
      const limitMs = this.#doubts.hasAnswers ? LONGEST_LIMIT_MS : this.#longestStatedMs + this.#job.giveUpAfterMs;
      const patienceMs = kind === "rateLimited" ? limitMs : 0;
      const { hasBegun, leftMs } = outage.failed(now, kind === "rateLimited", patienceMs);
      if (hasBegun) this.#tellOfOutage(lane, error, leftMs);
      if (leftMs <= 0 && this.#lanes.isOver(now)) {
        this.fail(providerDown(reason, message, this.#job));
      }
    } else if (kind !== "stop" && outage.answered(now)) this.#tellOfReturn(lane, wasOutage);
  }

  #tellOfOutage({ name }: Lane, { reason, message }: CallError, leftMs: number): void {
    const { onEvent } = this.#job;
    if (this.#lanes.areSeveral)
      onEvent({ type: "server", server: name, isAway: true, message: `${reason}: ${message}` });
    if (this.#lanes.isOutage) onEvent({ type: "outage", reason, message, untilMs: Date.now() + leftMs });
  }

  #tellOfReturn({ name }: Lane, wasOutage: boolean): void {
    const { onEvent } = this.#job;
    if (this.#lanes.areSeveral) onEvent({ type: "server", server: name, isAway: false, message: "" });
    if (wasOutage) onEvent({ type: "recovered" });
  }
}
