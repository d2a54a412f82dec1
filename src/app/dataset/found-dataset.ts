import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { renderers } from "../../export/index.ts";
import type { Ends } from "../../export/renderer.ts";
import { isPage } from "../../view/page-file.ts";

/** How many bytes to read of a file's beginning and of its end. */
const HEAD_BYTES = 1 << 20;
const TAIL_BYTES = 1 << 16;

/** Whether a file is a dataset of any format, or an exported page. Only its beginning and its end are read. */
export function isDataset(path: string): boolean {
  const ends = endsOf(path);
  return isPage(ends.head) || Object.values(renderers).some((renderer) => renderer.isDataset(ends));
}

/** Whether a file is a dataset or a page of a run: it has the run's id. False if it cannot be read. */
export function isDatasetOf(path: string, runId: string): boolean {
  let ends: Ends;
  try {
    ends = endsOf(path);
  } catch {
    return false;
  }
  return isPage(ends.head, runId) || Object.values(renderers).some((renderer) => renderer.isDataset(ends, runId));
}

function endsOf(path: string): Ends {
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
