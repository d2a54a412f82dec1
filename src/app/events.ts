import type { ExecutionEvent } from "../execute/executor.ts";
import type { Estimate } from "../estimate/estimate.ts";
import type { RunSummary } from "./runs/summary.ts";

/** What a use case reports while it works; only the command line draws it. */
export type RunEvent =
  | ExecutionEvent
  /** The tokens of so many inputs have been counted; there are more. */
  | { type: "counting"; inputs: number }
  /** The run is in the database; its calls are being planned. */
  | { type: "created"; id: string; provider: string; model: string; baseUrl: string | null; estimate: Estimate }
  /** Calls are being sent from here on. */
  | { type: "started"; run: RunSummary; baseUrl: string | null };

export type OnEvent = (event: RunEvent) => void;
