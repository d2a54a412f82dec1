import { StoppedError, WrongPlanError } from "../errors.ts";
import type { FailureReason } from "../providers/provider.ts";
import type { Job } from "./executor.ts";
import type { StoppingReason } from "./retry.ts";

/** The message to the user when a run stops. */
interface Stop {
  what: string;
  hint: string;
  /** Whether the run was planned with what the server refuses. */
  isPlanned?: true;
}

const STOPS: Record<StoppingReason, Stop> & Partial<Record<FailureReason, Stop>> = {
  key_refused: { what: "refused the API key", hint: "Set a valid key in the environment or in .env" },
  forbidden: { what: "forbids these requests", hint: "Check the permissions of the key's account and project" },
  model_not_found: {
    what: "does not know the model or the address",
    hint: "Correct model_name or base_url",
    isPlanned: true,
  },
  redirected: {
    what: "is not where the base URL says",
    hint: "Set base_url to the address that it redirects to",
    isPlanned: true,
  },
  bad_certificate: {
    what: "shows a certificate that is not trusted here",
    hint: "Check base_url; NODE_EXTRA_CA_CERTS names a file with further certificates to trust",
  },
  wrong_protocol: {
    what: "does not speak the protocol of the address",
    hint: "Let base_url begin with http or https, whichever the server speaks",
    isPlanned: true,
  },
  proxy_refused: {
    what: "cannot be reached through the proxy",
    hint: "Check HTTPS_PROXY and HTTP_PROXY, the user and the password in them, and NO_PROXY",
  },
  file_too_large: {
    what: "refuses the file of the batch because it is too large",
    hint: "Use --live to send each call in its own request, or raise the limit of the server",
  },
  no_quota: {
    what: "has no quota left for this account",
    hint: "Add credit or raise the limit at the provider, or wait until a daily quota is free again",
  },
};

/** What a refusal says of a server, and what to do about it; undefined for failures that may pass. */
export function meaningOf(reason: FailureReason): { what: string; hint: string } | undefined {
  return STOPS[reason];
}

/** A run keeps what it was planned with: another config makes another run. */
const RUN_AGAIN = "in the config and `datagen run` it again, since a run keeps what it was planned with.";

/** The error that stops a run for a reason that only a person can fix. */
export function stopped(reason: FailureReason, message: string, { server }: Job): StoppedError {
  const known = STOPS[reason];
  const said = `${server} ${known?.what ?? "cannot go on"}: ${message}`;
  return known?.isPlanned
    ? new WrongPlanError(said, `${known.hint} ${RUN_AGAIN}`)
    : new StoppedError(said, known && `${known.hint}, then resume the run.`);
}

/** The error that stops a run whose first calls were all refused with the same words. */
export function refusedAlike(calls: number, message: string, { server }: Job): StoppedError {
  return new WrongPlanError(
    `${server} refused the first ${calls} calls alike: ${message}`,
    `The calls are pending again. Correct what it refuses ${RUN_AGAIN}`,
  );
}

/** The error that stops a run whose provider does not answer any more. */
export function providerDown(reason: FailureReason, message: string, job: Job): StoppedError {
  const { server, servers, giveUpAfterMs } = job;
  const none = servers.length > 1 ? `none of the ${servers.length} servers has answered` : `${server} has not answered`;
  return new StoppedError(
    `${none} for ${Math.round(giveUpAfterMs / 1_000)} seconds; the last failure was ${reason}: ${message}`,
    "Resume the run when the provider answers again; give_up_after_s in the config says how long to wait for it.",
  );
}
