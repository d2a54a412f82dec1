import type { ReasoningTags } from "../config/schema.ts";
import type { Prices } from "../models/cost.ts";
import type { Settings } from "../plan/settings.ts";
import type { BatchProvider } from "../providers/batch.ts";
import type { Provider } from "../providers/provider.ts";
import type { Lease } from "../store/runs/leases.ts";
import type { Store } from "../store/file/store.ts";
import type { TotalsDelta } from "../store/runs/result.ts";
import type { ReusePolicy } from "../store/reuse/reuse-policy.ts";
import type { ConfiguredLimits } from "./pace.ts";

/**
 * What an executor is given: a run whose lease is held.
 * @internal
 */
export interface Job {
  store: Store;
  lease: Lease;
  runId: number;
  settings: Settings;
  settingsId: number;
  /** Who is asked, as errors name it. */
  server: string;
  provider: Provider;
  concurrency: number;
  timeoutMs: number;
  /** How often a call is sent at most, waits for a rate limit not counted. */
  maxAttempts: number;
  /** How long a provider may answer nothing before the run stops. */
  giveUpAfterMs: number;
  limits: ConfiguredLimits;
  batches: BatchOptions;
  /** What attempts are priced with; null where that is unknown. */
  prices: Prices | null;
  /** Null where the run may cost what it will; else its prices are known, and its answers limited. */
  cap: CapState | null;
  /** Whether the provider is known to count prompt tokens as the model's tokenizer here does. */
  isCountExact: boolean;
  /** Whether the run was executed before, so that since it was planned others may have asked what it asks. */
  isResumed: boolean;
  /** What is done with the reasoning at the start of an answer; null where the config does not say. */
  reasoningTags: ReasoningTags | null;
  /** Whether the server has answered a call of the run before. */
  hasAnswers: boolean;
  /** Which answers of earlier calls do. */
  reuse: ReusePolicy;
  /** Aborted when nothing more is to be sent; requests in flight may finish. */
  drain: AbortSignal;
  onEvent: (event: ExecutionEvent) => void;
}

/** What a run may cost, and what of that is spent or set aside, in billionths of a US dollar. */
export interface CapState {
  mostNanoUsd: number;
  usedNanoUsd: number;
  /** The most completion tokens of a request that was reserved without a limit. */
  completionLimit: number;
}

/** How a run has to do with its provider's batch engine. */
interface BatchOptions {
  connect: () => Promise<BatchProvider>;
  /** What a request in a batch costs in proportion to a live one; null where that is unknown. */
  factor: number | null;
  /** Whether new batches are submitted, or those that are open only waited for, or cancelled. */
  mode: "submit" | "collect" | "cancel";
  /** Whether to stay until none is open; otherwise each is looked at once. */
  waits: boolean;
}

/** What an executor reports while it works. Everything it counts has been stored. */
export type ExecutionEvent =
  | { type: "stored"; delta: TotalsDelta }
  /** An attempt failed and the call is sent again. */
  | { type: "retrying"; reason: string; message: string; delayMs: number }
  /** Something that the user should know, and that stops nothing. */
  | { type: "warning"; message: string }
  /** So many results that came back could not be stored: their calls are asked again. */
  | { type: "lost"; results: number }
  /** The provider answers nothing any more: only a probe now and then is sent. */
  | { type: "outage"; reason: string; message: string }
  /** The provider answers again. */
  | { type: "recovered" }
  /** How a batch stands, by the provider's word and counts. */
  | { type: "batch"; name: string; requests: number; status: string; completed: number; failed: number };

/**
 * The second axis of datagen: how calls reach a provider. An executor asks for every pending call of a run and stores
 * what comes back; it ends when none is pending that can be sent, or when it is drained.
 * @internal
 */
export interface Executor {
  /**
   * @throws StoppedError for a reason that a person has to mend; everything that came back is stored, but for what it says
   *   is lost
   */
  execute(job: Job): Promise<void>;
}
