import { hostname } from "node:os";
import { errorMessage } from "../../errors.ts";
import { CallError } from "../../providers/provider.ts";
import type { Destination } from "../../queue/destination.ts";
import {
  decodeJob,
  type JobMessage,
  MessageError,
  newWorkerId,
  replyOf,
  type ReportedError,
  type ResultMessage,
  type WorkerSighting,
} from "../../queue/messages.ts";
import type { ReceivedJob, WorkerQueue } from "../../queue/queue.ts";
import { toolVersion } from "../version.ts";
import type { ServerGroup } from "./connections.ts";

/** What a worker has done. */
export interface WorkerReport {
  /** Jobs with a result, failures included. */
  answered: number;
  /** Those of them that failed. */
  failed: number;
  /** Jobs that were none of its own. */
  dropped: number;
}

export const NOTHING_DONE: Readonly<WorkerReport> = { answered: 0, failed: 0, dropped: 0 };

export interface JobWorkerOptions extends Pick<WorkerSighting, "provider" | "servers" | "concurrency"> {
  onEvent: (event: { type: "warning"; message: string }) => void;
}

/** Only the first dropped jobs are warned about: the queue decides how many there are. */
const MOST_WARNINGS = 10;

/** Answers single jobs. What comes out of the queue may be anybody's: it is parsed, and checked against the destination. */
export class JobWorker {
  readonly id = newWorkerId();
  readonly report: WorkerReport = { ...NOTHING_DONE };
  readonly #queue: WorkerQueue;
  readonly #options: JobWorkerOptions;
  readonly #inFlight = new Set<string>();
  readonly #startedAt = Date.now();
  #beat = 0;

  constructor(queue: WorkerQueue, options: JobWorkerOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** What the worker says of itself now. */
  sighting(): WorkerSighting {
    const { provider, servers, concurrency } = this.#options;
    this.#beat += 1;
    return {
      id: this.id,
      beat: this.#beat,
      host: hostname().slice(0, 255),
      version: toolVersion().version,
      provider,
      servers,
      concurrency,
      inFlight: [...this.#inFlight],
      answered: this.report.answered,
      startedAt: this.#startedAt,
    };
  }

  /** Answers a job, and reports its result. It throws nothing: the engine has no use for an error. */
  async perform({ id, data }: ReceivedJob, group: ServerGroup): Promise<void> {
    try {
      const job = await decodeJob(data);
      checkOwn(id, job, group.destination);
      await this.#answer(job, group);
    } catch (error) {
      await this.#refuse(data, error);
    }
  }

  /** @throws MessageError when its result cannot be reported */
  async #answer(job: JobMessage, group: ServerGroup): Promise<void> {
    const { token, replyTo } = job;
    this.#inFlight.add(token);
    const sentAt = performance.now();
    try {
      const outcome = await outcomeOf(job, group);
      const durationMs = Math.round(performance.now() - sentAt);
      const result: ResultMessage = { token, worker: this.id, durationMs, ...outcome };
      await this.#queue.report(replyTo, result).catch((error: unknown) => {
        if (!(error instanceof MessageError)) throw error;
        // The answer is paid, and lost: it does not fit into the queue.
        const broken = new CallError("broken", error.message, usageOf(outcome));
        return this.#queue.report(replyTo, { token, worker: this.id, durationMs, error: reported(broken) });
      });
      this.report.answered += 1;
      if ("error" in outcome) this.report.failed += 1;
    } catch (error) {
      this.#options.onEvent({ type: "warning", message: `a result is lost: ${errorMessage(error)}` });
    } finally {
      this.#inFlight.delete(token);
    }
  }

  /** Drops a job, and tells its run, if the job says how in a form that can be trusted. */
  async #refuse(data: unknown, error: unknown): Promise<void> {
    this.report.dropped += 1;
    const message = `the worker on ${hostname()} dropped the job: ${errorMessage(error)}`.slice(0, 500);
    if (this.report.dropped <= MOST_WARNINGS) {
      const more = this.report.dropped === MOST_WARNINGS ? "; further ones are dropped without a warning" : "";
      this.#options.onEvent({
        type: "warning",
        message: `a job of the queue was dropped: ${errorMessage(error)}${more}`,
      });
    }
    const reply = await replyOf(data);
    if (reply === null) return;
    const refused = new CallError("bad_request", message, { hasLeft: false });
    const result: ResultMessage = { token: reply.token, worker: this.id, durationMs: 0, error: reported(refused) };
    await this.#queue.report(reply.replyTo, result).catch(() => {});
  }
}

/** @throws MessageError when the job is for somebody else */
function checkOwn(id: string, { token, provider, server }: JobMessage, destination: Destination): void {
  if (token !== id) throw new MessageError("its token is not its id");
  if (provider !== destination.provider) throw new MessageError(`it is for the provider ${provider}`);
  if (server !== destination.server) throw new MessageError(`it is for the server ${server.slice(0, 200)}`);
}

type Outcome = { completion: Awaited<ReturnType<ServerGroup["complete"]>> } | { error: ReportedError };

async function outcomeOf(job: JobMessage, group: ServerGroup): Promise<Outcome> {
  try {
    return { completion: await group.complete(job) };
  } catch (error) {
    if (error instanceof CallError) return { error: reported(error) };
    // Something in the job that no provider expects.
    return { error: reported(new CallError("bad_request", errorMessage(error))) };
  }
}

/** The longest message and the longest code that travel. */
const LONGEST_MESSAGE = 2_000;
const LONGEST_CODE = 300;

function reported({ reason, message, details }: CallError): ReportedError {
  const code = details.code?.slice(0, LONGEST_CODE) ?? null;
  return { reason, message: message.slice(0, LONGEST_MESSAGE), details: { ...details, code } };
}

function usageOf(outcome: Outcome): Partial<CallError["details"]> {
  if ("error" in outcome) return outcome.error.details;
  const { httpStatus, requestId, usage, rateLimits } = outcome.completion;
  return { httpStatus, requestId, usage, rateLimits };
}
