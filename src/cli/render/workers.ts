import type { ListedWorker } from "../../app/worker/list-workers.ts";
import { type Column, renderTable } from "./table.ts";
import { number } from "./text.ts";

const COLUMNS: readonly Column<ListedWorker>[] = [
  { title: "HOST", value: ({ host }) => host, rank: 0, least: 12 },
  { title: "PROVIDER", value: ({ provider }) => provider, rank: 3 },
  { title: "SERVERS", value: ({ servers }) => servers.join(", "), rank: 2, least: 20 },
  {
    title: "IN FLIGHT",
    value: (worker) => `${number(worker.in_flight)} of ${number(worker.concurrency)}`,
    align: "right",
    rank: 0,
  },
  { title: "ANSWERED", value: ({ answered }) => number(answered), align: "right", rank: 1 },
  { title: "LAST HEARD", value: heard, align: "right", rank: 0 },
];

export function renderWorkers(workers: readonly ListedWorker[], width: number): string {
  return workers.length === 0 ? "No worker takes jobs from this queue." : renderTable(COLUMNS, workers, width);
}

function heard({ last_heard_s: seconds }: ListedWorker): string {
  return seconds === null ? "not now" : `${seconds.toFixed(1)} s ago`;
}
