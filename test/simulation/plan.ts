import type { Random } from "./random.ts";

/** What happens to a run from outside while it is executed. */
export type Disturbance = "crash" | "power_loss" | "lease_lost" | "disk_full" | "drain";

/** One schedule, as it follows from its seed. */
export interface Plan {
  inputs: number;
  /** Whether each perspective has a reading. */
  readings: boolean[];
  replicates: number;
  concurrency: number;
  maxAttempts: number;
  executor: "live" | "batch" | "queue";
  /** How many workers there are, with a queue. */
  workers: number;
  /** In US dollars; null: no cap. */
  capUsd: number | null;
  /** How likely a request fails. */
  faultRate: number;
  /** Milliseconds. */
  latency: { least: number; most: number };
  /** What happens, each at the given point counted from the one before; see `World.point`. */
  disturbances: { kind: Disturbance; after: number }[];
}

const DISTURBANCES: readonly Disturbance[] = ["crash", "crash", "power_loss", "lease_lost", "disk_full", "drain"];

export function planOf(random: Random): Plan {
  const readings = Array.from({ length: random.whole(1, 3) }, () => random.chance(0.5));
  const inputs = random.whole(1, 5);
  const replicates = random.chance(0.2) ? 2 : 1;
  const disturbances = Array.from({ length: random.pick([0, 1, 1, 2, 3, 5]) }, () => ({
    kind: random.pick(DISTURBANCES),
    after: random.whole(1, 3 * inputs * readings.length * replicates),
  }));
  return {
    inputs,
    readings,
    replicates,
    concurrency: random.pick([1, 2, 3, 8]),
    maxAttempts: random.whole(1, 4),
    executor: random.pick(["live", "live", "live", "batch", "batch", "queue", "queue"]),
    workers: random.whole(1, 3),
    capUsd: random.chance(0.3) ? random.whole(2, 30) / 10_000 : null,
    faultRate: random.pick([0, 0.1, 0.3, 0.6]),
    latency: random.pick([
      { least: 1, most: 5 },
      { least: 200, most: 4_000 },
    ]),
    disturbances,
  };
}
