import { z } from "zod";

/** Keys of the reference pipeline's configs that have no effect. They are stored with the run. */
export const UNUSED_KEYS = ["compression_ratio"] as const;
export const unused = {
  compression_ratio: z.json().optional().describe("Accepted and stored with the run; it has no effect."),
} satisfies Record<(typeof UNUSED_KEYS)[number], z.ZodType>;
