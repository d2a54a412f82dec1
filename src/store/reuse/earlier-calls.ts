import type { PricedUsage } from "../../models/cost.ts";
import type { Step } from "../../plan/calls.ts";
import { oncePerStore, type Store } from "../file/store.ts";

/*
 * Prepared SQL, as the order of its joins decides how much is read: cross joins are made in the order in which they
 * stand, by the unique index of tasks, by that of calls, and by keys. Drizzle has them reordered.
 */

/** An answered call of an earlier run. The usage of an imported call is unknown. */
export interface EarlierCall extends PricedUsage {
  answerId: number;
  inputId: number;
  reasoningTokens: number;
  /** Whether datagen counted the tokens: 0 or 1. */
  tokensEstimated: number;
  /** Whether the token limit cut the answer off: 0 or 1. */
  isCut: number;
  settingsId: number;
  /** For a reading: the prompt tokens that the provider reported for its strategy. */
  strategyPromptTokens: number | null;
}

const statements = oncePerStore(({ sqlite }) => ({
  calls: sqlite.prepare<[string, number, number, Step], EarlierCall>(
    `select answers.id as answerId, tasks.input_id as inputId, answers.prompt_tokens as promptTokens,
       answers.completion_tokens as completionTokens, answers.cached_tokens as cachedTokens,
       answers.cache_write_tokens as cacheWriteTokens, answers.cache_write_1h_tokens as cacheWrite1hTokens,
       answers.reasoning_tokens as reasoningTokens,
       answers.tokens_estimated as tokensEstimated, answers.settings_id as settingsId,
       coalesce(answers.finish_reason = 'length', 0) as isCut,
       case when calls.step = 'reading' then (
         select followed.prompt_tokens from calls following
           cross join answers followed on followed.id = following.answer_id
           where following.task_id = tasks.id and following.perspective_id = calls.perspective_id
             and following.step = 'strategy' and following.replicate = calls.replicate
             and not followed.tokens_estimated and followed.origin <> 'imported'
       ) end as strategyPromptTokens
     from json_each(?) positions
       cross join tasks on tasks.run_id = ? and tasks.position = positions.value
       cross join calls on calls.task_id = tasks.id and calls.perspective_id = ? and calls.step = ?
       cross join answers on answers.id = calls.answer_id and answers.origin <> 'imported'`,
  ),
}));

/** The answered calls of one step of a perspective, of the tasks of a run at some positions. */
export function callsAt(
  store: Store,
  runId: number,
  positions: readonly number[],
  perspectiveId: number,
  step: Step,
): EarlierCall[] {
  return statements(store).calls.all(JSON.stringify(positions), runId, perspectiveId, step);
}
