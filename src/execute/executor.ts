import type { ReasoningTags } from "../config/schema.ts";
import type { Prices } from "../models/cost.ts";
import type { Settings } from "../plan/settings.ts";
import type { SharedPrefixes } from "../plan/shared-prefix.ts";
import type { BatchProvider } from "../providers/batch.ts";
import type { Provider } from "../providers/provider.ts";
import type { CoordinatorQueue } from "../queue/queue.ts";
import type { Lease } from "../store/runs/leases.ts";
import type { Store } from "../store/file/store.ts";
import type { SettingsByPerspective } from "../store/runs/plan.ts";
import type { TotalsDelta } from "../store/runs/result.ts";
import type { ReusePolicy } from "../store/reuse/reuse-policy.ts";
import type { ConfiguredLimits, Wait } from "./pace.ts";

/**
 * The input of an executor: a run whose lease this process holds.
 * @internal
 */
export interface Job {
  store: Store;
  lease: Lease;
  runId: number;
  /** Those of the run. The calls of a perspective may have other parameters; see `asked`. */
  settings: Settings;
  /** The settings of the perspectives. */
  asked: SettingsByPerspective;
  /** The name of the server in errors; of several, the first one. */
  server: string;
  /** Null if this process sends the requests. */
  queue: QueueOptions | null;
  /** The servers of the model: at least one. A request goes to the one with the fewest in flight. */
  servers: readonly JobServer[];
  /** The most requests in flight at each server. */
  concurrency: number;
  timeoutMs: number;
  /** How often to send a call at most. Waits for a rate limit do not count. */
  maxAttempts: number;
  /** The prefixes that its calls share; null if the provider's cache is not used. */
  prefixes: SharedPrefixes | null;
  /** How long the provider may be unavailable before the run stops. */
  giveUpAfterMs: number;
  limits: ConfiguredLimits;
  batches: BatchOptions;
  /** The prices of attempts; null if unknown. */
  prices: Prices | null;
  /** Null without a cap. With a cap, the prices are known and the answers have a limit. */
  cap: CapState | null;
  /** Whether the provider is known to count prompt tokens as the model's tokenizer here does. */
  isCountExact: boolean;
  /** Whether the run is resumed: since it was planned, other runs may have sent the same calls. */
  isResumed: boolean;
  /** What to do with the reasoning at the start of an answer; null if the config does not say. */
  reasoningTags: ReasoningTags | null;
  /** Whether the server has already answered a call of the run. */
  hasAnswers: boolean;
  /** Which answers of earlier calls to reuse. */
  reuse: ReusePolicy;
  /** Aborted when no more requests may be sent. Requests in flight may finish. */
  drain: AbortSignal;
  onEvent: (event: ExecutionEvent) => void;
}

/** A server that answers calls. */
export interface JobServer {
  /** As messages call it; with a queue, also as its workers do. */
  name: string;
  /** Null if workers ask it. */
  provider: Provider | null;
}

/**
 * How a run uses a queue.
 * @internal
 */
export interface QueueOptions {
  /** @throws UsageError when another process has the queue of the run's results */
  connect: () => Promise<CoordinatorQueue>;
  /** The queue of the run's results. */
  replyTo: string;
  /** Makes the token of a job. */
  newToken: () => string;
  maxAnswerBytes: number;
  /** The command that starts a worker for a server of the run. */
  workerCommand: (server: string) => string;
  /** Aborted, with the reason, when results are not waited for any longer. */
  giveUp: AbortSignal;
}

/** A cap, and how much is spent or set aside, in billionths of a US dollar. The runs of an experiment share one. */
export interface Budget {
  mostNanoUsd: number;
  usedNanoUsd: number;
  /** The live requests in flight of each run, or its open batches, by its id. */
  readonly inFlight: Map<number, number>;
}

/** The cap of a run. */
export interface CapState {
  budget: Budget;
  /** The most completion tokens of a request without a limit. */
  completionLimit: number;
  /** The prices that count for the highest cost of a request. */
  prices: Prices;
}

/** How a run uses the provider's batch API. */
interface BatchOptions {
  connect: () => Promise<BatchProvider>;
  /** The price of a batch request divided by that of a live one; null if unknown. */
  factor: number | null;
  /** `submit` sends new batches, `collect` only waits for open ones, `cancel` cancels them, `give_up` ends them here. */
  mode: "submit" | "collect" | "cancel" | "give_up";
  /** Whether to wait until no batch is open; otherwise each is checked once. */
  waits: boolean;
  /** Whether the files of a batch stay at the provider when its results are stored. */
  keepsFiles: boolean;
}

/** Reports of an executor while it works. Everything that they count has been stored. */
export type ExecutionEvent =
  | { type: "stored"; delta: TotalsDelta }
  /** An attempt failed, and the call will be sent again. */
  | { type: "retrying"; reason: string; message: string; delayMs: number }
  /** A problem that does not stop the run. */
  | { type: "warning"; message: string }
  /** This many results arrived but could not be stored. A resumed run sends their calls again. */
  | { type: "lost"; results: number }
  /**
   * The provider no longer answers. Only single requests are sent, from time to time, to probe it, until this time at most,
   * in milliseconds since 1970.
   */
  | { type: "outage"; reason: string; message: string; untilMs: number }
  /** One of several servers no longer answers, or answers again. The others go on. */
  | { type: "server"; server: string; isAway: boolean; message: string }
  /**
   * Calls wait until this time, in milliseconds since 1970: for a limit, because requests were refused, to look at open
   * batches again, or for a worker.
   */
  | { type: "waiting"; for: Wait["for"] | "batches" | "workers"; untilMs: number }
  /** The provider answers again. */
  | { type: "recovered" }
  /** The state of a batch, with the provider's status and counts. */
  | { type: "batch"; name: string; requests: number; status: string; completed: number; failed: number };

/**
 * The second axis of datagen: how calls reach a provider. An executor sends every pending call of a run and stores the
 * results. It ends when no call that can be sent is pending, or after `drain` is aborted.
 * @internal
 */
export interface Executor {
  /**
   * @throws StoppedError for a reason that only a person can fix; all results are stored, except those that it reports as
   *   lost
   */
  execute(job: Job): Promise<void>;
}
