import { batch, computed, effect, signal } from "@preact/signals";
import type { RunSummary } from "../../app/runs/summary.ts";
import type { ViewedRun } from "../rows.ts";
import { place } from "./address.ts";
import { asError, reading, rows } from "./loading.ts";

/** The run that is shown, or why it cannot be. */
export const viewed = signal<ViewedRun | null>(null);
export const failure = signal<Error | null>(null);
/** Its totals, which change while it is executed. */
export const totals = signal<RunSummary | null>(null);
/** All runs, to choose from. */
export const runs = signal<RunSummary[] | null>(null);

/** How many calls were done when the rows were read. */
const doneAtReading = signal(0);

export const newAnswers = computed(() =>
  totals.value === null ? 0 : Math.max(0, done(totals.value) - doneAtReading.value),
);

export function done({ calls }: RunSummary): number {
  return calls.succeeded + calls.failed;
}

const wanted = computed(() => place.value.run);

/** Follows the run that the address names. */
export function followRun(): void {
  effect(() => {
    const run = wanted.value;
    batch(() => {
      viewed.value = null;
      totals.value = null;
      failure.value = null;
    });
    if (run === null) return undefined;
    const following = { isWanted: true, end: () => {} };
    void follow(run, following);
    return () => {
      following.isWanted = false;
      following.end();
    };
  });
}

async function follow(run: string, following: { isWanted: boolean; end: () => void }): Promise<void> {
  try {
    const found = await rows().run(run);
    if (!following.isWanted) return;
    batch(() => {
      viewed.value = found;
      totals.value = found.run;
      doneAtReading.value = done(found.run);
    });
    following.end = rows().watch(run, (summary) => {
      totals.value = summary;
    });
  } catch (error) {
    if (following.isWanted) failure.value = asError(error);
  }
}

/** Reads the rows again, where the reader is. */
export function showNewAnswers(): void {
  batch(() => {
    if (totals.value !== null) doneAtReading.value = done(totals.value);
    reading.value += 1;
  });
}

export async function readRuns(): Promise<void> {
  try {
    runs.value = await rows().runs();
  } catch (error) {
    if (runs.value === null) failure.value = asError(error);
  }
}
