import { hasOpenCalls, getCall } from "../../store/runs/calls.ts";
import { findJob, openJobs } from "../../store/runs/jobs.ts";
import type { Destination } from "../../queue/destination.ts";
import { type JobMessage, MessageError, type ResultMessage } from "../../queue/messages.ts";
import type { CoordinatorQueue } from "../../queue/queue.ts";
import { CallError } from "../../providers/provider.ts";
import { createReservations } from "../cap.ts";
import type { Dispatched } from "../dispatched.ts";
import { Dispatcher } from "../dispatcher.ts";
import type { Executor, Job, QueueOptions } from "../executor.ts";
import { Outcomes, type Sent } from "../outcome.ts";
import { createPrepare, type PreparedRequest, questionOf } from "../prepare.ts";
import { type Adopted, inTurns, type TurnHooks } from "../turns.ts";
import { Flights } from "./flights.ts";
import { startPatrol } from "./patrol.ts";
import { failureOf, sentOf } from "./results.ts";

/**
 * Puts each attempt into a queue as a job, and waits for the result that a worker reports. A job has a random token, which is
 * in the database before the job is in the queue: whoever executes the run next finds the results that came meanwhile.
 */
export const queue: Executor = {
  async execute(job) {
    const options = job.queue;
    if (options === null) throw new Error(`run ${job.runId} has no queue`);
    const connected = await options.connect();
    try {
      await execute({ job, options, connected, flights: new Flights(), outcomes: new Outcomes(job) });
      if (!hasOpenCalls(job.store, job.runId)) await connected.remove(destinationsOf(job));
    } finally {
      await connected.close();
    }
  },
};

/** The parts of a run whose calls are answered by workers. */
interface QueueRun {
  job: Job;
  options: QueueOptions;
  connected: CoordinatorQueue;
  flights: Flights;
  outcomes: Outcomes;
}

async function execute(run: QueueRun): Promise<void> {
  const { job, options, connected, flights } = run;
  const prepare = createPrepare(job);
  const reservationOf = await createReservations(job.settings, job.cap !== null && job.isCountExact);
  const dispatcher = new Dispatcher(job, performance.now(), prepare, reservationOf);
  let patrol: { end: () => void } | undefined;
  const giveUp = () => flights.giveUp(options.giveUp.reason);
  const isLost = () => {
    dispatcher.fail(connected.lost.reason);
    flights.giveUp(connected.lost.reason);
  };
  options.giveUp.addEventListener("abort", giveUp, { once: true });
  try {
    await inTurns(
      job,
      dispatcher,
      (dispatched, attemptId) => perform(run, dispatcher, dispatched, attemptId),
      (hooks) => {
        const adopted = adopt(run, dispatcher);
        const takeLate = lateTaker(run, { dispatcher, prepare, hooks });
        connected.onResult(async (result) => await (flights.take(result) ?? takeLate(result)));
        connected.lost.addEventListener("abort", isLost, { once: true });
        patrol = startPatrol({ job, options, connected, flights, dispatcher, wake: () => hooks.wake() });
        return adopted;
      },
    );
  } finally {
    patrol?.end();
    options.giveUp.removeEventListener("abort", giveUp);
    flights.giveUp(new Error("the run has ended"));
  }
}

async function perform(
  run: QueueRun,
  dispatcher: Dispatcher,
  dispatched: Dispatched,
  attemptId: number,
): Promise<Sent> {
  const { job, options, connected, flights, outcomes } = run;
  const { request, reserved, token } = dispatched;
  if (token === null) throw new Error(`the attempt ${attemptId} has no token`);
  const sent = { id: attemptId, request, reserved };
  const failed = (error: CallError) => outcomes.failed({ ...sent, durationMs: 0, isBatched: false }, error);
  const flight = flights.of(token, destinationOf(job, dispatched), false, performance.now());
  if (!flight.isPut) {
    if (dispatcher.failure !== undefined || job.drain.aborted) {
      flights.forget(flight);
      return failed(failureOf({ as: "taken_back" }));
    }
    try {
      await connected.put(messageOf(job, options, dispatched, token));
    } catch (error) {
      flights.forget(flight);
      if (error instanceof MessageError) return failed(new CallError("bad_request", error.message, { hasLeft: false }));
      throw error;
    }
    flight.isPut = true;
    flight.putAt = flight.seenAt = performance.now();
  }
  const ending = await flight.ending;
  if (ending.as !== "result") return failed(failureOf(ending));
  const { result, onStored } = ending;
  const arrived = await sentOf(outcomes, sent, result, options.maxAnswerBytes);
  return {
    ...arrived,
    onStored: () => {
      flights.forget(flight);
      onStored();
    },
  };
}

/** Where a run's jobs may be. */
function destinationsOf({ settings, servers }: Job): Destination[] {
  return servers.map(({ name }) => ({ provider: settings.provider, server: name }));
}

function destinationOf(job: Job, { lane }: Pick<Dispatched, "lane">): Destination {
  return { provider: job.settings.provider, server: lane.name };
}

function messageOf(
  job: Job,
  { replyTo, maxAnswerBytes }: QueueOptions,
  dispatched: Dispatched,
  token: string,
): JobMessage {
  const { prompt, ...question } = questionOf(dispatched.request);
  const { timeoutMs } = job;
  return {
    token,
    replyTo,
    ...destinationOf(job, dispatched),
    question: { ...question, messages: prompt.messages },
    timeoutMs,
    maxAnswerBytes,
  };
}

/** Takes over the jobs of the process that executed the run before. */
function adopt({ job, flights }: QueueRun, dispatcher: Dispatcher): Adopted[] {
  const now = performance.now();
  return openJobs(job.store, job.runId).flatMap(({ attemptId, callId, token, server, reserved, isAwaited }) => {
    if (!isAwaited) return [];
    const dispatched = dispatcher.adopt(getCall(job.store, callId), server, token, reserved, now);
    if (dispatched === null) return [];
    flights.of(token, destinationOf(job, dispatched), true, now);
    return [{ dispatched, attemptId }];
  });
}

/** Takes results of jobs that are not in flight: those whose worker was given up, and those that are not the run's. */
function lateTaker(
  { job, options, flights, outcomes }: QueueRun,
  {
    dispatcher,
    prepare,
    hooks,
  }: { dispatcher: Dispatcher; prepare: (call: ReturnType<typeof getCall>) => PreparedRequest; hooks: TurnHooks },
): (result: ResultMessage) => Promise<void> {
  const taken = new Map<string, Promise<void>>();

  async function take(result: ResultMessage): Promise<void> {
    const found = findJob(job.store, job.runId, result.token);
    // Its result is stored, or it is of another run.
    if (!found) return;
    const { attemptId: id, callId, reserved } = found;
    const request = prepare(getCall(job.store, callId));
    const sent = await sentOf(outcomes, { id, request, reserved }, result, options.maxAnswerBytes);
    // The call may have its answer since.
    const isOpen = findJob(job.store, job.runId, result.token)?.isOpen === true;
    const arrival = dispatcher.settleLate(sent, reserved, isOpen);
    await flights.untilStored((onStored) => {
      const afterwards = () => {
        arrival.onStored();
        onStored();
      };
      if (!hooks.add({ result: arrival.result, onStored: afterwards })) flights.giveUp(new Error("the run has ended"));
    });
  }

  return (result) => {
    const known = taken.get(result.token) ?? take(result).finally(() => taken.delete(result.token));
    taken.set(result.token, known);
    return known;
  };
}
