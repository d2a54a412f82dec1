import { CallError } from "../../providers/provider.ts";
import { cleaned } from "../../providers/refusal.ts";
import type { ReportedError, ResultMessage } from "../../queue/messages.ts";
import type { Attempt, Outcomes, Sent } from "../outcome.ts";
import type { Ending } from "./flights.ts";

/** Turns a worker's result into rows to store. A worker may be anybody's: its texts are cleaned, and have a limit. */
export async function sentOf(
  outcomes: Outcomes,
  attempt: Omit<Attempt, "durationMs" | "isBatched">,
  result: ResultMessage,
  maxAnswerBytes: number,
): Promise<Sent> {
  const sent = { ...attempt, durationMs: result.durationMs, isBatched: false };
  if ("error" in result) return outcomes.failed(sent, callErrorOf(result.error));
  const { completion } = result;
  if (Buffer.byteLength(completion.text) <= maxAnswerBytes) return await outcomes.answered(sent, completion);
  const message = `the answer has more than ${Math.floor(maxAnswerBytes / 1_000_000)} MB, the limit of max_answer_mb`;
  return outcomes.failed(sent, new CallError("broken", message, { usage: completion.usage }));
}

/** The failure of a job that ended without a result. */
export function failureOf(ending: Exclude<Ending, { as: "result" }>): CallError {
  switch (ending.as) {
    case "lost":
      return new CallError("worker_lost", ending.message);
    case "taken_back":
      return new CallError("not_processed", "taken back from the queue: no worker had begun it", { hasLeft: false });
    default: {
      const message = `no worker has begun it for ${Math.round(ending.waitedMs / 1_000)} seconds`;
      return new CallError("timeout", message, { hasLeft: false });
    }
  }
}

function callErrorOf({ reason, message, details }: ReportedError): CallError {
  const { requestId, code } = details;
  return new CallError(reason, cleaned(message, undefined), {
    ...details,
    requestId: requestId === null ? null : cleaned(requestId, undefined),
    code: code === null ? null : cleaned(code, undefined),
  });
}
