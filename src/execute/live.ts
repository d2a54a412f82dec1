import { CallError } from "../providers/provider.ts";
import { createReservations } from "./cap.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { Executor } from "./executor.ts";
import { Outcomes } from "./outcome.ts";
import { createPrepare, questionOf } from "./prepare.ts";
import { inTurns } from "./turns.ts";

/** Sends each call in its own request, as fast as the provider allows. No call waits for a slower one. */
export const live: Executor = {
  async execute(job) {
    const outcomes = new Outcomes(job);
    const reservationOf = await createReservations(job.settings, job.cap !== null && job.isCountExact);
    const dispatcher = new Dispatcher(job, performance.now(), createPrepare(job), reservationOf);
    await inTurns(job, dispatcher, async ({ lane, request, reserved }, id) => {
      const sentAt = performance.now();
      const attempt = () => {
        const durationMs = Math.round(performance.now() - sentAt);
        return { id, request, reserved, durationMs, isBatched: false };
      };
      try {
        if (lane.provider === null) throw new Error(`${lane.name} is asked by workers`);
        const completion = await lane.provider.complete({ ...questionOf(request), timeoutMs: job.timeoutMs });
        return await outcomes.answered(attempt(), completion);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        return outcomes.failed(attempt(), error);
      }
    });
  },
};
