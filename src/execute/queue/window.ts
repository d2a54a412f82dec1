import type { Destination } from "../../queue/destination.ts";
import type { WorkerSighting } from "../../queue/messages.ts";

/** How many jobs of a server may be with its workers or wait for them, for each that they can have at a time. */
const WINDOW = 2;
/** The most of them, whatever the workers announce: each takes memory here, and anybody may have written what they announce. */
const MOST_IN_FLIGHT = 16_384;

/** How many jobs of a server may be in flight; 0 if no worker takes them. */
export function windowOf(workers: readonly WorkerSighting[], { provider, server }: Destination): number {
  const takers = workers.filter((worker) => worker.provider === provider && worker.servers.includes(server));
  const announced = takers.reduce((sum, { concurrency }) => sum + concurrency, 0);
  return Math.min(MOST_IN_FLIGHT, WINDOW * announced);
}
