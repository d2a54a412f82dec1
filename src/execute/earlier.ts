import { commitResults } from "../store/runs/results.ts";
import { createRunReuse } from "../store/reuse/reuse.ts";
import type { Job } from "./executor.ts";
import type { PreparedRequest } from "./prepare.ts";

/**
 * Answers of earlier calls for strategies whose notes have just come, whose keys are known only now, and for calls that
 * others may have asked since their run was planned.
 */
export interface Earlier {
  /** Gives a call an earlier answer. @returns whether there was one */
  take(request: PreparedRequest): boolean;
}

export function createEarlier(job: Job): Earlier {
  const find = createRunReuse(job.store, job.runId, job.settings, job.reuse, job.reasoningTags);
  return {
    take({ call, prompt, settingsId }) {
      const isNew = call.notesId !== null || job.isResumed;
      if (!isNew || call.answerId !== null || settingsId !== job.settingsId) return false;
      const answer = find(prompt);
      if (!answer) return false;
      // At once, so that the next call with this key does not find it unused.
      job.onEvent({ type: "stored", delta: commitResults(job.store, job.lease, job.settingsId, [{ call, answer }]) });
      return true;
    },
  };
}
