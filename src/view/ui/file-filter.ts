import type { PageCell, PageChunk, PageRow } from "../page-data.ts";
import type { Filter } from "../rows.ts";
import { lengthOf } from "./length.ts";

/** Whether everything that a filter asks holds for a cell. The caller has looked at its condition. */
export function cellMatches(filter: Filter, row: PageRow, cell: PageCell, chunk: PageChunk): boolean {
  const { state, reason, truncated, reused, equal, text } = filter;
  if (state !== undefined && cell.state !== state) return false;
  if (reason !== undefined && cell.failure !== reason) return false;
  if (truncated !== undefined && cell.isTruncated !== truncated) return false;
  if (reused !== undefined && cell.isReused !== reused) return false;
  const response = cell.response === null ? null : (chunk.texts[cell.response] ?? "");
  const { lengthFrom, lengthTo, latencyFrom, latencyTo, costFrom, costTo } = filter;
  if (lengthFrom !== undefined || lengthTo !== undefined) {
    const length = response === null ? null : (chunk.lengths[cell.response!] ?? lengthOf(response));
    if (!isWithin(length, lengthFrom, lengthTo)) return false;
  }
  if (!isWithin(latencyOf(cell), latencyFrom, latencyTo) || !isWithin(costOf(cell), costFrom, costTo)) return false;
  if (equal !== undefined && !isEqual(equal, row, cell)) return false;
  if (text === undefined) return true;
  const wanted = text.toLowerCase();
  return [response, chunk.texts[row.input], row.reference === null ? null : chunk.texts[row.reference]].some((one) =>
    one?.toLowerCase().includes(wanted),
  );
}

function isWithin(value: number | null, from: number | undefined, to: number | undefined): boolean {
  if (from === undefined && to === undefined) return true;
  return value !== null && value >= (from ?? Number.NEGATIVE_INFINITY) && value < (to ?? Number.POSITIVE_INFINITY);
}

/** A chunk has each text once, so that equal texts have the same place. */
function isEqual(equal: "reference" | "other", { reference, cells }: PageRow, cell: PageCell): boolean {
  if (cell.response === null) return false;
  if (equal === "reference") return cell.response === reference;
  return cells.some((replicates) => replicates.some((other) => other !== cell && other.response === cell.response));
}

/** Of the live requests that gave notes and response, in milliseconds. */
export function latencyOf({ steps }: PageCell): number | null {
  let ms: number | null = null;
  for (const { attempts } of steps) {
    const given = attempts.find(({ outcome, isBatched }) => outcome === "succeeded" && !isBatched);
    if (given) ms = (ms ?? 0) + given.durationMs;
  }
  return ms;
}

/** Of the requests of this run for the cell, in US dollars. */
export function costOf({ steps }: PageCell): number | null {
  let usd = 0;
  for (const { costUsd } of steps) {
    if (costUsd === null) return null;
    usd += costUsd;
  }
  return usd;
}
