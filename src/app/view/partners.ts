import { InputIds } from "../../store/view/input-ids.ts";
import { inputAt, occurrencesOf, type PlacedInput } from "../../store/view/inputs.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import { type Slice, SliceOver } from "./slice.ts";

/** The indexes that are kept. */
const MOST_INDEXES = 4;

/** Finds inputs in other runs. It keeps what it has learned of runs for later requests. */
export class Partners {
  readonly #store: Store;
  readonly #indexes = new Map<string, InputIds>();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * The position of an input in another run: by ids if all inputs of both runs have them, else by text and occurrence, as
   * `datagen diff` does; null if the run lacks it.
   * @throws SliceOver when the ids of the runs have not all been read yet
   */
  find(run: RunRow, input: PlacedInput, other: RunRow, slice: Slice): number | null {
    if (input.own !== null) {
      const ids = this.#idsOf(other, slice);
      if (ids.hasAll && this.#idsOf(run, slice).hasAll) return ids.find(input.own);
    }
    const nth = occurrencesOf(this.#store, run.id, input.inputId).indexOf(input.position);
    return occurrencesOf(this.#store, other.id, input.inputId)[nth] ?? null;
  }

  /** Like {@link find}, but at once for runs that have the same input at the same position. */
  findSoon(run: RunRow, input: PlacedInput, other: RunRow, slice: Slice): number | null {
    const beside = inputAt(this.#store, other.id, input.position);
    const isSame = beside !== undefined && beside.own === input.own && beside.inputId === input.inputId;
    return isSame && input.own !== null ? beside.position : this.find(run, input, other, slice);
  }

  /** An index of a run. A run that was joined from shards has more inputs than before, and gets a new one. */
  #idsOf({ id, tasks }: RunRow, slice: Slice): InputIds {
    const key = `${id} ${tasks}`;
    const ids = this.#indexes.get(key) ?? new InputIds(this.#store, id);
    this.#indexes.delete(key);
    this.#indexes.set(key, ids);
    for (const [oldest, index] of this.#indexes) {
      if (this.#indexes.size <= MOST_INDEXES) break;
      this.#indexes.delete(oldest);
      index[Symbol.dispose]();
    }
    if (!ids.build(() => slice.isOver())) throw new SliceOver();
    return ids;
  }
}
