import { UsageError } from "../../errors.ts";
import { parseQueueUrl, type QueueUrl } from "../../queue/url.ts";
import { setValue, type Variables } from "../server/environment.ts";

/** The variable that names the queue where no flag does. */
export const QUEUE_VARIABLE = "DATAGEN_QUEUE";

/**
 * The queue that a command uses. A `.env` may be somebody else's, and so may be the queue that it names: it is not read for
 * it.
 * @param given the value of `--queue`
 * @throws UsageError when neither names a queue
 */
export function queueUrlOf(given: string | undefined, { shell }: Variables): QueueUrl {
  if (given !== undefined) return parseQueueUrl(given, "--queue");
  const url = setValue(shell, QUEUE_VARIABLE);
  if (url !== undefined) return parseQueueUrl(url, QUEUE_VARIABLE);
  throw new UsageError(
    "no queue is named",
    `Add --queue with its URL, such as redis://localhost:6379, or set ${QUEUE_VARIABLE} in the shell; .env is not read for it.`,
  );
}
