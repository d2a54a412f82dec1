import { oncePerStore, type Store } from "../file/store.ts";

/* Prepared SQL, so that it is plain which index each statement follows: none of them may take long in a large run. */

/** An input, as far as it is needed to find the same one in another run. */
export interface PlacedInput {
  position: number;
  inputId: number;
  /** Its own id as text; null if it has none. */
  own: string | null;
}

/** The states of calls that have an index of their own. */
export type IndexedState = "failed" | "pending";

/** How many of the first inputs are searched for a reference. */
const SEARCHED = 1_000;

const placed = "select position, input_id inputId, cast(source_id as text) own from tasks";

// The conditions of the partial indexes, word for word, so that SQLite uses them.
const inState = (condition: string) => `
  select t.position from calls c join tasks t on t.id = c.task_id where c.run_id = ? and ${condition} limit ?`;

const statements = oncePerStore(({ sqlite }) => ({
  ends: sqlite.prepare<[number, number], { first: number | null; last: number | null }>(
    `select (select position from tasks where run_id = ? order by position limit 1) first,
       (select position from tasks where run_id = ? order by position desc limit 1) last`,
  ),
  references: sqlite
    .prepare<[number, number], number>(
      `select exists (select 1 from (select reference_id from tasks where run_id = ? order by position limit ?)
         where reference_id is not null)`,
    )
    .pluck(),
  at: sqlite.prepare<[number, number], PlacedInput>(`${placed} where run_id = ? and position = ?`),
  occurrences: sqlite
    .prepare<[number, number], number>("select position from tasks where input_id = ? and run_id = ? order by position")
    .pluck(),
  failed: sqlite.prepare<[number, number], number>(inState("c.state = 'failed'")).pluck(),
  pending: sqlite
    .prepare<[number, number], number>(inState("(c.state = 'pending' or c.wanted_settings_id is not null)"))
    .pluck(),
  version: sqlite.prepare<[], number>("select data_version from pragma_data_version").pluck(),
}));

/** The first and the last position of a run; 0 for a run without inputs. */
export function endsOf(store: Store, runId: number): { first: number; last: number } {
  const row = statements(store).ends.get(runId, runId);
  return { first: row?.first ?? 0, last: row?.last ?? 0 };
}

/** Whether any of the first inputs of a run has a reference. */
export function hasReferences(store: Store, runId: number): boolean {
  return statements(store).references.get(runId, SEARCHED) === 1;
}

export function inputAt(store: Store, runId: number, position: number): PlacedInput | undefined {
  return statements(store).at.get(runId, position);
}

/** The inputs of a run from a position on, in their order. The store must not be written to until the iteration ends. */
export function placedInputs(store: Store, runId: number, from: number): IterableIterator<PlacedInput> {
  // Prepare a new statement each time, because a statement that is being iterated cannot be used again.
  return store.sqlite
    .prepare<[number, number], PlacedInput>(`${placed} where run_id = ? and position >= ? order by position`)
    .iterate(runId, from);
}

/** The positions of all inputs of a run with a text, in their order. */
export function occurrencesOf(store: Store, runId: number, inputId: number): number[] {
  return statements(store).occurrences.all(inputId, runId);
}

/**
 * The positions of all inputs of a run that have a call in a state, in their order.
 * @returns null if more than `most` calls are in the state
 */
export function positionsInState(store: Store, runId: number, state: IndexedState, most: number): number[] | null {
  const found = statements(store)[state].all(runId, most + 1);
  return found.length > most ? null : [...new Set(found)].toSorted((a, b) => a - b);
}

/** A number that changes when another connection has written to the database. */
export function dataVersion(store: Store): number {
  return statements(store).version.get() ?? 0;
}
