import { commitResults } from "../store/runs/results.ts";
import { createRunReuse } from "../store/reuse/reuse.ts";
import type { Job } from "./executor.ts";
import type { PreparedRequest } from "./prepare.ts";

/**
 * Reuses answers of earlier calls during a run: for strategies whose notes have just arrived, because only now their keys
 * are known; and, in a resumed run, for calls that other runs may have sent since it was planned.
 */
export interface Earlier {
  /** Gives a call an earlier answer. @returns whether there was one */
  take(request: PreparedRequest): boolean;
}

export function createEarlier(job: Job): Earlier {
  const asked = [...job.asked.values()].map(({ settings }) => settings);
  const find = createRunReuse(job.store, job.runId, asked, job.reuse, job.reasoningTags);
  return {
    take({ call, prompt, settingsId }) {
      const own = job.asked.get(call.perspectiveId);
      const isNew = call.notesId !== null || job.isResumed;
      if (!isNew || call.answerId !== null || settingsId !== own?.id) return false;
      const answer = find(own.settings, prompt);
      if (!answer) return false;
      // Commit at once, so that the next call with this key does not reuse the same answer.
      job.onEvent({ type: "stored", delta: commitResults(job.store, job.lease, job.asked, [{ call, answer }]) });
      return true;
    },
  };
}
