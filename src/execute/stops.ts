import { StoppedError } from "../errors.ts";
import type { FailureReason } from "../providers/provider.ts";
import type { Job } from "./executor.ts";

const STOPS: Partial<Record<FailureReason, { what: string; hint: string }>> = {
  key_refused: { what: "refused the API key", hint: "Set a valid key in the environment or in .env" },
  forbidden: { what: "forbids these requests", hint: "Check what the key's account and project may do" },
  model_not_found: { what: "does not know the model or the address", hint: "Check model_name and base_url" },
  no_quota: { what: "has no quota left for this account", hint: "Add credit or raise the limit at the provider" },
};

/** The end of a run for a reason that a person has to mend. */
export function stopped(reason: FailureReason, message: string, { server }: Job): StoppedError {
  const known = STOPS[reason];
  return new StoppedError(
    `${server} ${known?.what ?? "cannot go on"}: ${message}`,
    known && `${known.hint}, then resume the run.`,
  );
}
