import type { ExecutionEvent } from "../execute/executor.ts";
import type { Estimate } from "../estimate/estimate.ts";
import type { RunSummary } from "./runs/summary.ts";

/** Reports of a use case while it works. Only the command line shows them. */
export type RunEvent =
  | ExecutionEvent
  /** The tokens of this many inputs have been counted; more inputs follow. */
  | { type: "counting"; inputs: number }
  /** The run is in the database; its calls are being planned. */
  | { type: "created"; id: string; provider: string; model: string; baseUrls: readonly string[]; estimate: Estimate }
  /** The run starts to send calls. */
  | { type: "started"; run: RunSummary; baseUrls: readonly string[] };

export type OnEvent = (event: RunEvent) => void;
