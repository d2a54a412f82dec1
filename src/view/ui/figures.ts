import { effect, signal } from "@preact/signals";
import { noCounts } from "../histogram.ts";
import type { ConditionFigures, Histogram } from "../rows.ts";
import { asError, reading, rows } from "./loading.ts";

/** The figures of a run, as far as they have been counted. */
export interface Figures {
  conditions: ConditionFigures[];
  looked: number;
  isDone: boolean;
  error: Error | null;
}

/** Counts the figures of a run, slice by slice. @returns what ends it */
export function countFigures(run: string, say: (figures: Figures) => void): () => void {
  let isWanted = true;
  const end = effect(() => {
    void reading.value;
    void count(run, (figures) => {
      if (isWanted) say(figures);
      return isWanted;
    });
  });
  return () => {
    isWanted = false;
    end();
  };
}

async function count(run: string, say: (figures: Figures) => boolean): Promise<void> {
  let conditions: ConditionFigures[] = [];
  let looked = 0;
  try {
    for (let after: number | null = -1; after !== null;) {
      const slice = await rows().distributions(run, after);
      conditions = slice.conditions.map((figures, at) => added(conditions[at], figures));
      looked += slice.looked;
      after = slice.next;
      if (!say({ conditions, looked, isDone: after === null, error: null })) return;
    }
  } catch (error) {
    say({ conditions, looked, isDone: false, error: asError(error) });
  }
}

/** The figures of two groups of answers together. */
export function added(one: ConditionFigures | undefined, other: ConditionFigures): ConditionFigures {
  if (one === undefined) return other;
  const failed = Object.assign(noCounts(), one.states.failed);
  for (const [reason, times] of Object.entries(other.states.failed)) failed[reason] = (failed[reason] ?? 0) + times;
  return {
    length: addedHistogram(one.length, other.length),
    completionTokens: addedHistogram(one.completionTokens, other.completionTokens),
    latencyMs: addedHistogram(one.latencyMs, other.latencyMs),
    costNanoUsd: addedHistogram(one.costNanoUsd, other.costNanoUsd),
    states: {
      succeeded: one.states.succeeded + other.states.succeeded,
      failed,
      pending: one.states.pending + other.states.pending,
      truncated: one.states.truncated + other.states.truncated,
      reused: one.states.reused + other.states.reused,
    },
  };
}

function addedHistogram(one: Histogram, other: Histogram): Histogram {
  const bins: Record<number, number> = { ...one.bins };
  for (const [bin, times] of Object.entries(other.bins)) bins[Number(bin)] = (bins[Number(bin)] ?? 0) + times;
  return {
    bins,
    count: one.count + other.count,
    sum: one.sum + other.sum,
    min: least(one.min, other.min),
    max: most(one.max, other.max),
  };
}

function least(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}

function most(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}

/** The words of the bar that is pointed at. */
export const pointed = signal<string | null>(null);
