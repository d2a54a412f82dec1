import type { PageCell, PageChunk } from "../page-data.ts";
import { count } from "../histogram.ts";
import type { ConditionFigures } from "../rows.ts";
import { costOf } from "./file-filter.ts";
import { lengthOf } from "./length.ts";

/** Adds a cell to the figures of its condition. */
export function addValues(figures: ConditionFigures, cell: PageCell, chunk: PageChunk, latency: number | null): void {
  const { states } = figures;
  if (cell.state === "failed") states.failed[cell.failure ?? ""] = (states.failed[cell.failure ?? ""] ?? 0) + 1;
  else states[cell.state] += 1;
  if (cell.isTruncated) states.truncated += 1;
  if (cell.isReused) states.reused += 1;
  const cost = costOf(cell);
  if (cell.state !== "pending" && cost !== null) count(figures.costNanoUsd, cost * 1e9);
  if (latency !== null) count(figures.latencyMs, latency);
  if (cell.response === null) return;
  count(figures.length, chunk.lengths[cell.response] ?? lengthOf(chunk.texts[cell.response] ?? ""));
  const tokens = cell.steps.map((step) => step.tokens?.completion ?? null);
  if (tokens.every((one) => one !== null))
    count(
      figures.completionTokens,
      tokens.reduce((a, b) => a + b, 0),
    );
}
