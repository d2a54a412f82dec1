import type { Perspective } from "../config/schema.ts";

const STEPS = ["reading", "strategy"] as const;
export type Step = (typeof STEPS)[number];

/** A call that an input needs: the perspective's position in the config, the step, and the replicate from 1. */
export interface PlannedCall {
  perspective: number;
  step: Step;
  replicate: number;
}

/**
 * The calls that every input of a run needs, in the order in which they are sent: by perspective, then by replicate, with
 * a reading right before the strategy that works on its notes.
 * @param replicates how many samples to ask for, for each perspective
 */
export function callsPerInput(perspectives: readonly Perspective[], replicates = 1): PlannedCall[] {
  return perspectives
    .flatMap(({ reading }, perspective) => {
      const steps: readonly Step[] = reading === null ? ["strategy"] : STEPS;
      return Array.from({ length: replicates }, (_, at) =>
        steps.map((step) => ({ perspective, step, replicate: at + 1 })),
      );
    })
    .flat();
}
