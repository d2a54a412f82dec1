import type { Perspective } from "../config/schema.ts";

const STEPS = ["reading", "strategy"] as const;
export type Step = (typeof STEPS)[number];

/** A call that an input needs: the perspective by its position in the config, and the step. */
export interface PlannedCall {
  perspective: number;
  step: Step;
}

/**
 * The calls that every input of a run needs, in the order in which they are sent: perspective by perspective, a reading
 * right before the strategy that works on its notes.
 */
export function callsPerInput(perspectives: readonly Perspective[]): PlannedCall[] {
  return perspectives.flatMap(({ reading }, perspective) =>
    reading === null ? [{ perspective, step: "strategy" as const }] : STEPS.map((step) => ({ perspective, step })),
  );
}
