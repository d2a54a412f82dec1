import { DEFAULT_MAX_ANSWER_MB } from "../../config/schema.ts";
import { UsageError } from "../../errors.ts";
import type { JobServer, QueueOptions } from "../../execute/executor.ts";
import { sha256 } from "../../plan/settings.ts";
import { resultsQueue } from "../../queue/destination.ts";
import { newToken } from "../../queue/messages.ts";
import type { QueueUrl } from "../../queue/url.ts";
import type { Store } from "../../store/file/store.ts";
import { openJobs } from "../../store/runs/jobs.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import { type Environment, readVariables, setValue, type Variables } from "../server/environment.ts";
import { baseUrlsOf } from "../server/server-of-run.ts";
import { QUEUE_VARIABLE, queueUrlOf } from "../worker/queue-url.ts";

/**
 * The queue of a new run.
 * @throws UsageError when none is named
 */
export function queueUrlOfPlan(flag: string | undefined, variables: Variables): QueueUrl {
  if (flag !== undefined || namesQueue(variables)) return queueUrlOf(flag, variables);
  throw new UsageError(
    "the calls go through a queue, and none is named",
    `Name it with --queue URL or ${QUEUE_VARIABLE}, such as redis://localhost:6379; it is never stored. Or leave out \`executor\` in the config.`,
  );
}

/** Anybody who can write to the queue can cause warnings. */
const MOST_WARNINGS = 5;

/** Whether the environment names a queue. */
export function namesQueue({ shell }: Variables): boolean {
  return setValue(shell, QUEUE_VARIABLE) !== undefined;
}

/**
 * The queue of a run that is about to be executed.
 * @throws UsageError when none is named
 */
export function queueUrlOfRun(run: RunRow, flag: string | undefined, variables: Variables): QueueUrl {
  if (flag !== undefined || namesQueue(variables)) return queueUrlOf(flag, variables);
  throw new UsageError(
    `run ${run.publicId} sends its calls through a queue, and none is named`,
    `Name the queue with --queue URL or ${QUEUE_VARIABLE}; it is never stored. With --live, this process sends the calls itself, and results that are still in the queue are not taken in.`,
  );
}

/** The servers of a run as workers name them: by their base URLs, or by the name that they share. */
export function serversOfWorkers(run: RunRow): JobServer[] {
  const { server } = run.config.model_config;
  const baseUrls = baseUrlsOf(run);
  const names = server !== undefined ? [server] : baseUrls.length > 0 ? baseUrls : [run.provider];
  return names.map((name) => ({ name, provider: null }));
}

/**
 * How a run uses its queue.
 * @throws UsageError as {@link queueUrlOfRun} does
 */
export function queueOf(
  run: RunRow,
  { queue, environment }: { queue?: string | undefined; environment?: Environment | undefined },
  { giveUp, onWarning }: { giveUp: AbortSignal; onWarning: (message: string) => void },
): QueueOptions {
  const url = queueUrlOfRun(run, queue, readVariables(environment));
  const databaseId = idOf(run);
  const replyTo = resultsQueue(databaseId, run.publicId);
  let warnings = 0;
  const warn = (message: string) => {
    warnings += 1;
    if (warnings < MOST_WARNINGS) onWarning(message);
    else if (warnings === MOST_WARNINGS) onWarning(`${message}; further warnings of the queue are not shown`);
  };
  const { server } = run.config.model_config;
  const { max_answer_mb: maxAnswerMb = DEFAULT_MAX_ANSWER_MB, give_up_after_s: giveUpAfterS } = run.config;
  return {
    async connect() {
      const { connectCoordinator } = await import("../../queue/connect.ts");
      const patienceMs = giveUpAfterS * 1_000;
      return await connectCoordinator({ url, databaseId, runId: run.publicId, patienceMs, onWarning: warn });
    },
    replyTo,
    newToken: () => newToken(replyTo),
    maxAnswerBytes: maxAnswerMb * 1_000_000,
    workerCommand(name) {
      const where = server !== undefined ? ` --server ${name}` : name === run.provider ? "" : ` --base-url ${name}`;
      return `datagen worker --queue ${url.shown} --provider ${run.provider}${where}`;
    },
    giveUp,
  };
}

/**
 * Removes what a run without open calls has in its queue, if one is named: the process that executed the run may have been
 * killed before it did. What is left otherwise does no harm.
 */
export async function clearQueue(
  run: RunRow,
  options: { queue?: string | undefined; environment?: Environment | undefined },
): Promise<void> {
  const isNamed = options.queue !== undefined || namesQueue(readVariables(options.environment));
  // A run that reuses all answers has put nothing there.
  if (run.executor !== "queue" || run.attempts === 0 || !isNamed) return;
  const unused = { giveUp: new AbortController().signal, onWarning: () => {} };
  try {
    const connected = await queueOf(run, options, unused).connect();
    await connected.remove(serversOfWorkers(run).map(({ name }) => ({ provider: run.provider, server: name })));
    await connected.close();
  } catch {
    // It does not answer, or is in use.
  }
}

/** Warns of calls of a run that may be with workers of a queue, where the run goes on without it. */
export function warnOfQueue(store: Store, { id, publicId }: RunRow, onWarning: (message: string) => void): void {
  const waiting = openJobs(store, id).filter(({ isAwaited }) => isAwaited).length;
  if (waiting === 0) return;
  onWarning(
    `${waiting} of the calls of run ${publicId} may be in a queue or with its workers: they are possibly billed, and are sent again. With --queue, their results would be taken in`,
  );
}

/** Tells a run from those of other databases that use the same queue, but not from its copies. */
function idOf({ publicId, createdAt, planHash }: RunRow): string {
  return sha256(`${publicId}\n${createdAt}\n${planHash}`).slice(5, 37);
}
