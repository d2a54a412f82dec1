import { StoppedError } from "../../errors.ts";
import { meaningOf } from "../../execute/stops.ts";
import { CallError } from "../../providers/provider.ts";

/** Statuses of an address that a server does not have. */
const MISSING = new Set([404, 405, 501]);

/** Whether a server has answered that it does not have an address, or with something else than what is asked for. */
export function isMissing({ reason, details }: CallError): boolean {
  return MISSING.has(details.httpStatus ?? 0) || reason === "malformed";
}

/** The error for a request that a server has not answered as it should. Other errors stay as they are. */
export function serverError(server: string, error: unknown): unknown {
  if (!(error instanceof CallError)) return error;
  const known = meaningOf(error.reason);
  if (known) return new StoppedError(`${server} ${known.what}: ${error.message}`, `${known.hint}.`, error);
  const { httpStatus } = error.details;
  const what = httpStatus === null ? "has not answered" : `has answered with ${httpStatus}`;
  const hint = "Check the address, and whether the server runs. Try again later if it does.";
  return new StoppedError(`${server} ${what}: ${error.message}`, hint, error);
}
