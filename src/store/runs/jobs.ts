import { oncePerStore, type Store } from "../file/store.ts";
import type { Reservation } from "./result.ts";

/* Prepared SQL, because the first table of each join decides how much is read: the attempts with a token are few. */

/** An attempt with a token in a queue and without a result. */
export interface OpenJob {
  attemptId: number;
  callId: number;
  token: string;
  /** The base URL of its server, if the run has several. */
  server: string | null;
  /** The most tokens that it may be charged for. */
  reserved: Reservation;
  /** Whether its call can be sent, or was. */
  isOpen: boolean;
  /** Whether its call is open and waits for this result: it was not given up, and no later attempt is under way. */
  isAwaited: boolean;
}

type Row = Omit<OpenJob, "reserved" | "isOpen" | "isAwaited"> & Reservation & { isOpen: number; isLast: number };

const statements = oncePerStore(({ sqlite }) => {
  const open = `select a.id attemptId, a.call_id callId, a.job_token token, a.server,
      a.reserved_prompt_tokens promptTokens, a.reserved_completion_tokens completionTokens,
      (c.state = 'pending' or c.wanted_settings_id is not null) and c.batch_id is null
        and coalesce(r.state <> 'pending' and r.wanted_settings_id is null, 1) isOpen,
      -- An attempt with a message was given up when its worker was lost.
      a.message is null and not exists (select 1 from attempts later
        where later.call_id = c.id and later.id > a.id and later.job_token is not null) isLast
    from attempts a indexed by attempts_job cross join calls c on c.id = a.call_id
      left join calls r on c.step = 'strategy' and r.task_id = c.task_id and r.perspective_id = c.perspective_id
        and r.replicate = c.replicate and r.step = 'reading'
    where a.job_token is not null and c.run_id = ?`;
  return {
    all: sqlite.prepare<[number], Row>(`${open} order by a.id`),
    one: sqlite.prepare<[number, string], Row>(`${open} and a.job_token = ?`),
  };
});

/** The attempts of a run that have a token, the oldest first. */
export function openJobs(store: Store, runId: number): OpenJob[] {
  return statements(store).all.all(runId).map(toJob);
}

/** The attempt of a run with a token, if it has no result yet. */
export function findJob(store: Store, runId: number, token: string): OpenJob | undefined {
  const row = statements(store).one.get(runId, token);
  return row && toJob(row);
}

function toJob({ promptTokens, completionTokens, isOpen, isLast, ...job }: Row): OpenJob {
  const reserved = { promptTokens, completionTokens };
  return { ...job, reserved, isOpen: isOpen === 1, isAwaited: isOpen === 1 && isLast === 1 };
}
