import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** What is read of a file's beginning and of its end. */
const HEAD_BYTES = 1 << 20;
const TAIL_BYTES = 1 << 16;

/**
 * Whether a file is a dataset of any of our formats, or one of the documented format, by its beginning and its end. A
 * config begins as a dataset does, and has no tasks.
 */
export function isDataset(path: string): boolean {
  const { head, tail } = endsOf(path);
  if (isFlat(head)) return true;
  // In JSON a quotation mark inside a text has a backslash before it.
  return (
    /^\s*\{/.test(head) &&
    /(?<!\\)"agent_perspectives"\s*:/.test(head) &&
    (/(?<!\\)"tasks"\s*:\s*\[/.test(head) || /(?<!\\)"metadata"\s*:\s*\{/.test(tail))
  );
}

/** Whether a file is a dataset of a run: its rows, or its metadata, have the run's id. False where it cannot be read. */
export function isDatasetOf(path: string, runId: string): boolean {
  let ends: { head: string; tail: string };
  try {
    ends = endsOf(path);
  } catch {
    return false;
  }
  const { head, tail } = ends;
  if (isFlat(head)) {
    const [first = "", second = ""] = head.split("\n", 2);
    return first.startsWith("{") ? first.startsWith(`{"run_id":"${runId}"`) : second.startsWith(`${runId},`);
  }
  return new RegExp(`(?<!\\\\)"run_id": "${runId}"`).test(tail);
}

/** JSON Lines or CSV, perhaps with a byte-order mark. */
function isFlat(head: string): boolean {
  return /^\uFEFF?(\{"run_id":|"?run_id"?,)/.test(head);
}

function endsOf(path: string): { head: string; tail: string } {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const read = (from: number, bytes: number) => {
      const piece = Buffer.alloc(Math.min(bytes, size));
      return piece.subarray(0, readSync(file, piece, 0, piece.length, from)).toString("utf8");
    };
    return { head: read(0, HEAD_BYTES), tail: read(Math.max(0, size - TAIL_BYTES), TAIL_BYTES) };
  } finally {
    closeSync(file);
  }
}
