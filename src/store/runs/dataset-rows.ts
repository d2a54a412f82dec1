import type { ReasoningTags } from "../../config/schema.ts";
import { usedText } from "../../plan/reasoning.ts";
import { columnsFrom, textFrom } from "../columns.ts";
import { oncePerStore, type Store } from "../file/store.ts";
import { getHashedText, getText } from "../texts.ts";

/* Prepared SQL, because Drizzle cannot read rows one by one, and takes longer to build its objects than SQLite to find them. */

/** One call of a task, in the order of the dataset. */
export interface CellRow {
  callId: number;
  answerId: number | null;
  /** The position of its perspective in the config. */
  perspective: number;
  step: "reading" | "strategy";
  replicate: number;
  state: "pending" | "succeeded" | "failed";
  failure: string | null;
  /** The words with which the model refused; null if it did not. */
  refusal: string | null;
  text: string | null;
  /** How the answer came; null if there is none. */
  origin: "live" | "batch" | "imported" | null;
  finishReason: string | null;
  /** The provider's own word for it; null if it is the same. */
  finishReasonRaw: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  /** Null unless {@link DatasetRowOptions.withRequests} asks for it. */
  requests: CallRequests | null;
  /** Its scores by their names; null unless {@link DatasetRowOptions.withScores} asks for them. */
  scores: ReadonlyMap<string, number> | null;
}

/** What the requests of this run for a call took, and where its answer comes from. */
export interface CallRequests {
  /** How many were sent. */
  count: number;
  /** Whether one of them brought an answer. */
  haveSucceeded: boolean;
  /** Their cost; null if any part of it is unknown. */
  costNanoUsd: number | null;
  /** How long the live request took that gave the answer; null if there is none. */
  latencyMs: number | null;
  /** The id of the run whose request gave the answer; null if it was deleted. */
  originRun: string | null;
}

export interface DatasetRowOptions {
  /** What to do with the reasoning at the start of an answer. */
  tags?: ReasoningTags | undefined;
  /** Whether cells say what their requests took. */
  withRequests?: boolean;
  /** Whether cells have their scores. */
  withScores?: boolean;
  /** The position of the input to begin with. Default: 0. */
  from?: number;
}

/** An input of a run. */
export interface InputRow {
  /** Its own id or, if it has none, the first 16 hex digits of its SHA-256: the same in every run and database. */
  id: string | number;
  /** Its own id in its file; null if the file has none. */
  sourceId: string | number | null;
  /** From 0, in the order of the sample. */
  position: number;
  input: string;
  reference: string | null;
  /** The values of the other columns that prompts use, by their names. */
  columns: Readonly<Record<string, unknown>>;
}

/** A task with all its calls, by perspective, each reading before its strategy. */
export interface TaskRow extends InputRow {
  cells: CellRow[];
}

/** The columns of a task, in their order. */
type TaskColumns = [
  taskId: number,
  position: number,
  inputId: number,
  referenceId: number | null,
  sourceId: string | number | null,
  columns: string | null,
];

/** The columns of {@link statements.cells}, in their order. */
type CellColumns = [
  callId: number,
  answerId: number | null,
  perspectiveId: number,
  step: CellRow["step"],
  replicate: number,
  state: CellRow["state"],
  failure: string | null,
  refusal: string | null,
  text: string | Buffer | null,
  origin: CellRow["origin"],
  finishReason: string | null,
  finishReasonRaw: string | null,
  promptTokens: number | null,
  completionTokens: number | null,
  cachedTokens: number | null,
  reasoningTokens: number | null,
];

/** The columns of {@link statements.attempts}, in their order. */
type AttemptColumns = [
  callId: number,
  outcome: string,
  isLive: number,
  durationMs: number,
  costNanoUsd: number | null,
  isInDoubt: number,
];

const statements = oncePerStore(({ sqlite }) => ({
  // A position leads to a place in a list. In a damaged database it may be a text, such as the name of a prototype.
  perspectives: sqlite
    .prepare<[number], [id: number, position: number]>(
      "select id, position from perspectives where run_id = ? and typeof(position) = 'integer'",
    )
    .raw(),
  scores: sqlite
    .prepare<[number], [callId: number, name: string, value: number]>(
      `select s.call_id, s.name, s.value
       from calls c cross join scores s on s.call_id = c.id and s.answer_id = c.answer_id where c.task_id = ?`,
    )
    .raw(),
  publicId: sqlite.prepare<[number], string>("select public_id from runs where id = ?").pluck(),
  // No `order by`: SQLite would sort rows that the index already returns in nearly the right order.
  cells: sqlite
    .prepare<[number], CellColumns>(
      `select c.id, c.answer_id, c.perspective_id, c.step, c.replicate, c.state, c.failure,
         iif(c.failure = 'refusal', (select t.refusal from attempts t where t.call_id = c.id and t.outcome = 'refusal'
           order by t.id desc limit 1), null), a.text, a.origin, a.finish_reason, a.finish_reason_raw,
         a.prompt_tokens, a.completion_tokens, a.cached_tokens, a.reasoning_tokens
       from calls c left join answers a on a.id = c.answer_id where c.task_id = ?`,
    )
    .raw(),
  attempts: sqlite
    .prepare<[number], AttemptColumns>(
      `select a.call_id, a.outcome, a.batch_id is null, a.duration_ms, a.cost_nano_usd,
         a.reserved_prompt_tokens is not null
       from calls c cross join attempts a on a.call_id = c.id where c.task_id = ? order by a.id`,
    )
    .raw(),
  origin: sqlite
    .prepare<[number], string>(
      `select r.public_id from calls c join runs r on r.id = c.run_id where c.answer_id = ? and (r.imported is not null
         or exists (select 1 from attempts a where a.call_id = c.id and a.outcome = 'succeeded')) order by c.id limit 1`,
    )
    .pluck(),
}));

/**
 * The inputs of a run, in the order of their sample. The store must not be written to until the iteration ends.
 * @param from the position to begin with
 */
export function* inputRows(store: Store, runId: number, from = 0): Generator<InputRow & { taskId: number }> {
  // Prepare a new statement each time, because a statement that is being iterated cannot be used again.
  const rows = store.sqlite
    .prepare<[number, number], TaskColumns>(
      `select id, position, input_id, reference_id, source_id, columns from tasks
       where run_id = ? and position >= ? order by position`,
    )
    .raw()
    .iterate(runId, from);
  for (const [taskId, position, inputId, referenceId, sourceId, stored] of rows) {
    const { hash, text } = getHashedText(store, inputId);
    const reference = referenceId === null ? null : getText(store, referenceId);
    const id = sourceId ?? hash.slice("s256:".length, "s256:".length + 16);
    yield { taskId, id, sourceId, position, input: text, reference, columns: columnsFrom(stored) };
  }
}

/** Whether all inputs of a run have ids in their file, and these are whole numbers. */
export function hasNumericIds({ sqlite }: Store, runId: number): boolean {
  return (
    sqlite
      .prepare<[number], number>(
        "select not exists (select 1 from tasks where run_id = ? and typeof(source_id) <> 'integer')",
      )
      .pluck()
      .get(runId) === 1
  );
}

/**
 * The rows of a run's dataset, one task at a time. The store must not be written to until the iteration ends.
 */
export function* datasetRows(
  store: Store,
  runId: number,
  { tags, withRequests = false, withScores = false, from = 0 }: DatasetRowOptions = {},
): Generator<TaskRow> {
  const { cells, perspectives, publicId } = statements(store);
  const positions = new Map(perspectives.all(runId));
  const run = publicId.get(runId) ?? "";
  for (const { taskId, ...row } of inputRows(store, runId, from)) {
    const requests = withRequests ? requestsOf(store, taskId, run) : () => null;
    const scores = withScores ? scoresOf(store, taskId) : () => null;
    yield {
      ...row,
      cells: cells
        .all(taskId)
        .map((columns) => ({ ...toCell(columns, positions, tags, requests(columns)), scores: scores(columns[0]) }))
        .toSorted(inOrder),
    };
  }
}

function toCell(
  columns: CellColumns,
  positions: ReadonlyMap<number, number>,
  tags: ReasoningTags | undefined,
  requests: CallRequests | null,
): Omit<CellRow, "scores"> {
  const [callId, answerId, perspectiveId, step, replicate, state, failure, refusal, text, ...ending] = columns;
  const [origin, finishReason, finishReasonRaw, ...tokens] = ending;
  const [promptTokens, completionTokens, cachedTokens, reasoningTokens] = tokens;
  return {
    callId,
    answerId,
    perspective: positions.get(perspectiveId) ?? -1,
    step,
    replicate,
    state,
    failure,
    refusal,
    text: text === null ? null : usedText(textFrom(text), tags),
    origin,
    finishReason,
    finishReasonRaw,
    promptTokens,
    completionTokens,
    cachedTokens,
    reasoningTokens,
    requests,
  };
}

/** The scores of the calls of a task. */
function scoresOf(store: Store, taskId: number): (callId: number) => ReadonlyMap<string, number> {
  const found = new Map<number, Map<string, number>>();
  const none = new Map<string, number>();
  for (const [callId, name, value] of statements(store).scores.all(taskId)) {
    const scores = found.get(callId) ?? new Map<string, number>();
    found.set(callId, scores.set(name, value));
  }
  return (callId) => found.get(callId) ?? none;
}

/** The requests for the calls of a task. @param run the id of the run, for users */
function requestsOf(store: Store, taskId: number, run: string): (call: CellColumns) => CallRequests {
  const { attempts, origin } = statements(store);
  const found = new Map<number, CallRequests>();
  const none = (): CallRequests => ({
    count: 0,
    haveSucceeded: false,
    costNanoUsd: 0,
    latencyMs: null,
    originRun: null,
  });
  for (const [callId, outcome, isLive, durationMs, cost, isInDoubt] of attempts.all(taskId)) {
    const requests = found.get(callId) ?? none();
    found.set(callId, requests);
    requests.count += 1;
    // A request that may have been charged is not part of the cost.
    if (cost === null && !isInDoubt) requests.costNanoUsd = null;
    else if (requests.costNanoUsd !== null) requests.costNanoUsd += cost ?? 0;
    if (outcome === "succeeded") {
      requests.haveSucceeded = true;
      requests.originRun = run;
    }
    if (outcome === "succeeded" && isLive) requests.latencyMs = durationMs;
  }
  return ([callId, answerId]) => {
    const requests = found.get(callId) ?? none();
    if (answerId === null) return { ...requests, originRun: null };
    return requests.originRun === null ? { ...requests, originRun: origin.get(answerId) ?? null } : requests;
  };
}

function inOrder(one: CellRow, other: CellRow): number {
  const step = one.step === other.step ? 0 : one.step === "reading" ? -1 : 1;
  return one.perspective - other.perspective || one.replicate - other.replicate || step;
}
