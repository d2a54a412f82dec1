import { batch, computed, effect, signal } from "@preact/signals";
import type { Filter } from "../rows.ts";
import { place } from "./address.ts";
import { asError, reading, rows } from "./loading.ts";

/** What a filter has found so far. */
export interface Search {
  positions: readonly number[];
  /** The answers that match, by position: `condition.replicate`. */
  cells: ReadonlyMap<number, ReadonlySet<string>>;
  answers: number;
  /** How many inputs it has looked at. */
  looked: number;
  /** Whether it has looked at all inputs. */
  isDone: boolean;
  isLooking: boolean;
  error: Error | null;
}

/** The inputs after which a search waits until it is asked to go on. */
const PAUSE_AFTER = 500;

const NOTHING: Search = {
  positions: [],
  cells: new Map(),
  answers: 0,
  looked: 0,
  isDone: false,
  isLooking: true,
  error: null,
};

/** The search for the filter in the address; null if there is no filter. */
export const search = signal<Search | null>(null);

const wanted = computed(() => {
  const { run, filter } = place.value;
  return run === null || isEmpty(filter) ? null : JSON.stringify([run, filter]);
});

let goOn = () => {};

export function isEmpty(filter: Filter): boolean {
  return Object.values(filter).every((value) => value === undefined);
}

/** Goes on with a search that waits. */
export function lookFurther(): void {
  goOn();
}

/** Follows the filter that the address has. */
export function followFilter(): void {
  effect(() => {
    const key = wanted.value;
    void reading.value;
    goOn = () => {};
    if (key === null) {
      search.value = null;
      return undefined;
    }
    const [run, filter] = JSON.parse(key) as [string, Filter];
    let isWanted = true;
    search.value = NOTHING;
    void look(run, filter, () => isWanted);
    return () => {
      isWanted = false;
    };
  });
}

async function look(run: string, filter: Filter, isWanted: () => boolean): Promise<void> {
  const positions: number[] = [];
  const cells = new Map<number, ReadonlySet<string>>();
  let answers = 0;
  let looked = 0;
  let after: number | null = -1;
  let enough = PAUSE_AFTER;
  const say = (change: Partial<Search>) => {
    search.value = { positions, cells, answers, looked, isDone: false, isLooking: true, error: null, ...change };
  };
  try {
    while (after !== null) {
      if (positions.length >= enough) {
        await new Promise<void>((resolve) => {
          goOn = resolve;
          say({ isLooking: false });
        });
        enough = positions.length + PAUSE_AFTER;
      }
      const slice = await rows().matches(run, filter, after);
      if (!isWanted()) return;
      for (const { position, cells: matched } of slice.rows) {
        positions.push(position);
        cells.set(position, new Set(matched.map(([condition, replicate]) => `${condition}.${replicate}`)));
        answers += matched.length;
      }
      looked += slice.looked;
      after = slice.next;
      batch(() => say({ isDone: after === null, isLooking: after !== null }));
    }
  } catch (error) {
    if (isWanted()) say({ isLooking: false, error: asError(error) });
  }
}
