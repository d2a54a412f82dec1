import { costOf, type Prices } from "../../src/models/cost.ts";
import { type Prompt, promptBytes } from "../../src/models/prompt.ts";
import {
  CallError,
  type CallErrorDetails,
  type Completion,
  type FailureReason,
  type Provider,
  type ReportedUsage,
} from "../../src/providers/provider.ts";
import { answerText, cellOf, type Cell, type Entry, type Ledger } from "./ledger.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";
import { reportedUsage } from "../support/usage.ts";

/** How a request ends. */
interface Outcome {
  /** Null: with an answer. */
  reason: FailureReason | null;
  details?: Partial<CallErrorDetails>;
  /** Whether the provider has worked on it, and charges it. */
  isCharged: boolean;
  /** Whether it says what it has charged. */
  isReported: boolean;
  isCut?: boolean;
}

const ANSWER: Outcome = { reason: null, isCharged: true, isReported: true };

/** What goes wrong, and how often in proportion. */
const FAULTS: readonly [weight: number, outcome: Outcome][] = [
  [4, { reason: "rate_limited", details: { httpStatus: 429, retryAfterMs: 700 }, isCharged: false, isReported: false }],
  [2, { reason: "rate_limited", details: { httpStatus: 429 }, isCharged: false, isReported: false }],
  [4, { reason: "server_error", details: { httpStatus: 500 }, isCharged: false, isReported: false }],
  [2, { reason: "server_error", details: { httpStatus: 503 }, isCharged: false, isReported: false }],
  [3, { reason: "connection", details: { code: "ECONNRESET" }, isCharged: true, isReported: false }],
  [2, { reason: "connection", details: { code: "ECONNRESET" }, isCharged: false, isReported: false }],
  [3, { reason: "timeout", isCharged: true, isReported: false }],
  [2, { reason: "malformed", details: { httpStatus: 200 }, isCharged: true, isReported: false }],
  [2, { reason: "empty", details: { httpStatus: 200 }, isCharged: true, isReported: true }],
  [1, { reason: "content_filter", details: { httpStatus: 200 }, isCharged: true, isReported: true }],
  [1, { reason: "context_too_long", details: { httpStatus: 400 }, isCharged: false, isReported: false }],
  [2, { ...ANSWER, isCut: true }],
];

/** Reasons that end a run until a person has mended something. */
const STOPS: readonly Outcome[] = [
  { reason: "key_refused", details: { httpStatus: 401 }, isCharged: false, isReported: false },
  { reason: "no_quota", details: { httpStatus: 429 }, isCharged: false, isReported: false },
];
const STOP_SHARE = 0.01;

/** What the checks at each request need to know of the run. */
export interface Watch {
  /** A request has arrived. @throws where it must not have been sent */
  arrived(entry: Entry): void;
  /** A call, by its id, has arrived in a batch. @throws as above */
  batched(callId: number): void;
}

/** A request that has arrived: how long it takes, and what comes back then. */
export interface Asked {
  entry: Entry;
  latency: number;
  /** @throws CallError */
  reply: () => Completion;
}

/** A request arrives at the provider, whose answers, faults and latencies come from the seed. */
export function ask(
  { random, world, ledger, plan, prices, execution, watch }: Simulated,
  { prompt, timeoutMs }: { prompt: Pick<Prompt, "messages">; timeoutMs: number },
  maxTokens: number,
): Asked {
  const entry = ledger.open(cellOf(prompt), execution);
  watch.arrived(entry);
  const { reason, details, isCharged, isReported, isCut } = outcomeOf(random, plan);
  const usage = usageOf(random, prompt, reason === "empty" || reason === "content_filter" ? 0 : maxTokens);
  if (isCharged) entry.costNanoUsd = costOf(prices, usage) ?? 0;
  world.point(`request ${entry.version}`);
  const latency = reason === "timeout" ? timeoutMs : random.whole(plan.latency.least, plan.latency.most);
  return {
    entry,
    latency,
    reply() {
      const reported = isReported ? usage : null;
      if (reason === null) return completion(entry, reported, isCut === true);
      throw new CallError(reason, `a simulated ${reason}`, { ...details, usage: reported });
    },
  };
}

function outcomeOf(random: Random, plan: Plan): Outcome {
  if (!random.chance(plan.faultRate)) return ANSWER;
  if (random.chance(STOP_SHARE)) return random.pick(STOPS);
  return random.pick(FAULTS.flatMap(([weight, fault]) => Array.from({ length: weight }, () => fault)));
}

function usageOf(random: Random, prompt: Pick<Prompt, "messages">, maxTokens: number): ReportedUsage {
  const promptTokens = Math.max(1, random.whole(1, promptBytes(prompt)));
  const completionTokens = maxTokens === 0 ? 0 : random.whole(1, maxTokens);
  return reportedUsage(promptTokens, completionTokens);
}

/** A provider that this process asks. */
export function liveProvider(simulated: Simulated, maxTokens: number): Provider {
  const { world } = simulated;
  let refuse: ((reason: Error) => void)[] = [];
  return {
    complete(request) {
      if (world.isDead) return new Promise(() => {});
      const { entry, latency, reply } = ask(simulated, request, maxTokens);
      return new Promise<Completion>((resolve, reject) => {
        refuse.push((error) => {
          if (entry.state === "in_flight") entry.state = "abandoned";
          reject(error);
        });
        setTimeout(() => {
          if (entry.state !== "in_flight") return;
          world.point(`reply ${entry.version}`);
          if (world.isDead) return;
          entry.answeredAt = performance.now();
          try {
            const answer = reply();
            entry.state = "answered";
            resolve(answer);
          } catch (error) {
            entry.state = "failed";
            reject(error);
          }
        }, latency);
      });
    },
    giveUp(error) {
      for (const each of refuse) each(error);
      refuse = [];
    },
  };
}

/** What the parts of a simulation share. */
export interface Simulated {
  random: Random;
  world: World;
  ledger: Ledger;
  plan: Plan;
  prices: Prices;
  execution: number;
  watch: Watch;
}

export function completion(
  entry: { cell: Cell; version: number },
  usage: ReportedUsage | null,
  isCut: boolean,
): Completion {
  return {
    text: answerText(entry),
    finishReason: isCut ? "length" : "stop",
    finishReasonRaw: null,
    usage,
    httpStatus: 200,
    requestId: `request-${entry.version}`,
    servedModel: null,
    rateLimits: null,
  };
}
