import type { BatchProvider } from "../../providers/batch.ts";
import type { OpenCall } from "../../store/runs/calls.ts";
import type { Reservation } from "../../store/runs/result.ts";
import type { Cap } from "../cap.ts";
import type { Earlier } from "../earlier.ts";
import type { Job } from "../executor.ts";
import type { Outcomes } from "../outcome.ts";
import type { PreparedRequest } from "../prepare.ts";

/** What a run in batches works with, and what it has learned of the provider. */
export interface BatchRun {
  job: Job;
  provider: BatchProvider;
  prepare: (call: OpenCall) => PreparedRequest;
  outcomes: Outcomes;
  cap: Cap | null;
  reservationOf: (request: PreparedRequest) => Reservation;
  earlier: Earlier;
  /**
   * After a batch has failed whole: the most requests that the next ones may have. Where that was because too many tokens
   * wait at the provider, also that fewer batches must be open than then, and how long to wait where none is.
   */
  largest: { requests: number; openBelow: number; delayMs: number; isForTokens: boolean } | null;
  /** How many batches in a row have failed whole. */
  failedWhole: number;
  /** Whether a call of the run was ever answered: then what may mean one call or all means one. */
  hasAnswers: boolean;
}
