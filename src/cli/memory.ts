import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** What some hundred requests in flight hold, and as much again. */
const YOUNG_BYTES = 8_000_000;

/**
 * Makes room for the objects of requests in flight among V8's young ones. At its start there is room for a megabyte: of
 * a request that takes its time all would be taken for old, and cleared away at four times the cost. V8 makes room when
 * much survives; so much is let survive here, once.
 */
export function growYoungGeneration(): void {
  setFlagsFromString("--semi-space-growth-factor=8");
  for (let rounds = 0; rounds < 64 && youngBytes() < YOUNG_BYTES; rounds += 1) {
    Array.from({ length: 20_000 }, (_, at) => ({ at }));
  }
  setFlagsFromString("--semi-space-growth-factor=1");
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")?.space_size ?? 0;
}
