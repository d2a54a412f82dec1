import type { Store } from "../file/store.ts";
import { wholeSumOf } from "../whole-sum.ts";

/* Prepared SQL, for the temporary tables of `joinRuns`. */

/** A condition of all runs. A cell is an input and a replicate that all runs have, whether answered or not. */
export interface ConditionRow {
  condition: string;
  cells: number;
  /** Cells where all runs have a response. */
  compared: number;
  /** The number of these where all have the same text. */
  identical: number;
  /** For each run, the number of compared responses with the same text as the first run's. */
  identicalToFirst: number[];
}

/** The figures of one run for the cells of a condition. */
export interface FigureRow {
  /** Unicode code points of the compared responses; null if there are none. */
  meanCharacters: number | null;
  /** Of the compared responses; null if there are none, or if the tokens of any are unknown. */
  meanCompletionTokens: number | null;
  /** Responses that the token limit cut off. */
  truncated: number;
  failed: number;
  pending: number;
  /** Of all answers, notes included; null if the tokens of any are unknown. */
  promptTokens: number | null;
  completionTokens: number | null;
  /** 1 if any of the tokens were counted by datagen, else 0. */
  tokensEstimated: number;
  /** Of all attempts, including those for notes; null if the cost of any is unknown. */
  costNanoUsd: number | null;
  /** Of the attempts that succeeded, including those for notes; null if there are none. */
  medianLatencyMs: number | null;
}

/** SQL for the text of an answer, as the datasets of a run have it. @param column that of the stored text */
export type Response = (column: string) => string;

/** SQL for whether two answers, `a0` and that of another run, have the same text as responses of their runs. */
export function isSame([first, ...others]: readonly Response[], at: number): string {
  const other = others[at - 1];
  if (!first || !other) throw new Error(`there is no other run ${at}`);
  return `(${first("x") === other("x") ? `a0.id = a${at}.id or ` : ""}${first("a0.text")} = ${other(`a${at}.text`)})`;
}

// Grouping sorts rows, so these rows have no texts.
const compareResponses = (responses: readonly Response[]) => {
  const runs = [...responses.keys()];
  const others = runs.slice(1);
  return `
    with cells as materialized (
      select c.condition, c.is_compared, ${others.map((at) => `iif(c.is_compared, ${isSame(responses, at)}, null) as s${at}`).join(", ")}
      from temp.diff_cells c ${runs.map((at) => `cross join calls c${at} on c${at}.id = c.c${at}`).join(" ")}
        ${runs.map((at) => `left join answers a${at} on a${at}.id = c${at}.answer_id`).join(" ")})
    select p.condition, count(cells.condition), coalesce(sum(is_compared), 0),
      coalesce(sum(${others.map((at) => `s${at}`).join(" and ")}), 0),
      ${others.map((at) => `coalesce(sum(s${at}), 0)`).join(", ")}
    from temp.diff_conditions p left join cells on cells.condition = p.position
    group by p.position order by p.position`;
};

/** In the order of the first run's conditions. */
export function conditionRows(sqlite: Store["sqlite"], responses: readonly Response[]): ConditionRow[] {
  return sqlite
    .prepare<[], [string, number, number, number, ...number[]]>(compareResponses(responses))
    .raw()
    .all()
    .map(([condition, cells, compared, identical, ...toFirst]) => {
      return { condition, cells, compared, identical, identicalToFirst: [compared, ...toFirst] };
    });
}

// SQLite's length() stops at a NUL, and counts the bytes of a blob.
const charactersIn = (text: string) => `
  iif(typeof(${text}) = 'blob' or instr(${text}, char(0)) > 0, code_points(${text}), length(${text}))`;

/** A row for every condition of all runs, with columns of a query that lacks conditions without cells. */
const ofEach = (columns: string, query: string) => `
  select ${columns} from temp.diff_conditions p left join (${query}) g on g.condition = p.position order by p.position`;

const chainOf = (run: number) => `
  with chain as (
    select condition, c${run} as call from temp.diff_cells
    union all select condition, n${run} from temp.diff_cells where n${run} is not null)`;

// The tokens of an imported answer are unknown.
const lengthsOf = (run: number, response: Response) =>
  ofEach(
    `meanCharacters, meanCompletionTokens, coalesce(truncated, 0) as truncated, coalesce(failed, 0) as failed,
       coalesce(pending, 0) as pending`,
    `with responses as materialized (
       select c.condition, calls.state, answers.finish_reason = 'length' as cut,
         iif(c.is_compared, ${charactersIn(response("answers.text"))}, null) as characters,
         iif(c.is_compared and answers.origin <> 'imported', answers.completion_tokens, null) as tokens
       from temp.diff_cells c cross join calls on calls.id = c.c${run}
         left join answers on answers.id = calls.answer_id)
     select condition, avg(characters) as meanCharacters,
       iif(count(tokens) = count(characters), avg(tokens), null) as meanCompletionTokens,
       sum(cut) as truncated, sum(state = 'failed') as failed, sum(state = 'pending') as pending
     from responses group by condition`,
  );

const tokensOf = (run: number) =>
  ofEach(
    `iif(hasUnknown, null, coalesce(prompt, 0)) as promptTokens,
       iif(hasUnknown, null, coalesce(completion, 0)) as completionTokens, coalesce(estimated, 0) as tokensEstimated`,
    `${chainOf(run)}
     select condition, max(answers.origin = 'imported') as hasUnknown, ${wholeSumOf("answers.prompt_tokens")} as prompt,
       ${wholeSumOf("answers.completion_tokens")} as completion, max(answers.tokens_estimated) as estimated
     from chain cross join calls on calls.id = chain.call cross join answers on answers.id = calls.answer_id
     group by condition`,
  );

// A call with an answer but without an attempt was reused, at no cost, or imported, at an unknown cost. It was imported if
// its run has reused nothing.
const costsOf = (run: number) =>
  ofEach(
    "iif(hasUnknown, null, coalesce(cost, 0)) as costNanoUsd",
    `${chainOf(run)}
     select condition, ${wholeSumOf("attempts.cost_nano_usd")} as cost,
       max(iif(attempts.id is null, calls.answer_id is not null and runs.imported is not null,
         attempts.cost_nano_usd is null and attempts.reserved_prompt_tokens is null)) as hasUnknown
     from chain cross join calls on calls.id = chain.call cross join runs on runs.id = calls.run_id
       left join attempts on attempts.call_id = calls.id
     group by condition`,
  );

const latenciesOf = (run: number) =>
  ofEach(
    "medianLatencyMs",
    `${chainOf(run)},
     durations as (
       select condition, attempts.duration_ms as ms, count(*) over (partition by condition) as n,
         row_number() over (partition by condition order by attempts.duration_ms) as nth
       from chain cross join attempts on attempts.call_id = chain.call
       where attempts.outcome = 'succeeded')
     select condition, avg(ms) as medianLatencyMs from durations
     where nth between n / 2.0 and n / 2.0 + 1 group by condition`,
  );

/** The figures of one run, in the order of the first run's conditions. */
export function figureRows(sqlite: Store["sqlite"], responses: readonly Response[], run: number): FigureRow[] {
  const response = responses[run];
  if (!response) throw new Error(`there is no run ${run}`);
  // Run one statement at a time, because each keeps its sorted rows until it ends.
  const parts = [lengthsOf(run, response), tokensOf(run), costsOf(run), latenciesOf(run)];
  const [first = [], ...others] = parts.map((sql) => sqlite.prepare<[], FigureRow>(sql).all());
  return first.map((row, at) => Object.assign(row, ...others.map((rows) => rows[at])) as FigureRow);
}
