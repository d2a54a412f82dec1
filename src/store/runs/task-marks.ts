import type { Store } from "../file/store.ts";

/* Prepared SQL, because a run may have a million tasks, which are read one by one. */

/** What decides the figures of a task, without its texts. */
export interface TaskMark {
  position: number;
  /** Whether every call has its answer, and none is asked again. */
  isSettled: boolean;
  /** Numbers that change when a call gets another answer, or an attempt or its cost changes. */
  mark: string;
}

type MarkColumns = [position: number, open: number, ...mark: number[]];

/** The marks of a run's tasks, by their position. The store must not be written to until the iteration ends. */
export function* taskMarks({ sqlite }: Store, runId: number): Generator<TaskMark> {
  const rows = sqlite
    .prepare<[number], MarkColumns>(
      `select t.position, sum(c.state <> 'succeeded' or c.wanted_settings_id is not null), count(*),
         total(c.answer_id * (c.id % 65521 + 1)), count(a.id), total(a.id * (c.id % 65521 + 1)), total(a.cost_nano_usd),
         total(a.duration_ms), count(a.cost_nano_usd), count(a.reserved_prompt_tokens)
       from tasks t cross join calls c on c.task_id = t.id left join attempts a on a.call_id = c.id
       where t.run_id = ? group by t.position order by t.position`,
    )
    .raw()
    .iterate(runId);
  for (const [position, open, ...mark] of rows) yield { position, isSettled: open === 0, mark: mark.join(" ") };
}
