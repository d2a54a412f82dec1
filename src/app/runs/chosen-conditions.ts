import { UsageError } from "../../errors.ts";

/**
 * The conditions that a text chooses: the one of this name or, if there is none, all that begin with it.
 * @param all the conditions of the run; may have repetitions
 * @throws UsageError when there is none
 */
export function chosenConditions(run: string, all: readonly string[], wanted: string): ReadonlySet<string> {
  if (all.includes(wanted)) return new Set([wanted]);
  const found = new Set(all.filter((condition) => condition.toLowerCase().startsWith(wanted.toLowerCase())));
  if (found.size > 0) return found;
  throw new UsageError(
    `run ${run} has no condition ${JSON.stringify(wanted)}`,
    `It has: ${[...new Set(all)].map((condition) => JSON.stringify(condition)).join(", ")}.`,
  );
}
