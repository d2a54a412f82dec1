import type { GridCell } from "../rows.ts";
import { Name } from "./text.tsx";

/** What is special about an answer, in words. */
export function Marks({ cell }: { cell: GridCell }) {
  return (
    <>
      {cell.state === "failed" && (
        <span class="mark bad">
          failed{cell.failure === null ? "" : ": "}
          {cell.failure !== null && <Name text={cell.failure} />}
        </span>
      )}
      {cell.state === "pending" && <span class="mark">pending</span>}
      {cell.isTruncated && (
        <span class="mark warn" title="The token limit cut the answer">
          cut
        </span>
      )}
      {cell.isReused && (
        <span class="mark" title="The answer of an earlier equal call">
          reused
        </span>
      )}
      {cell.isImported && (
        <span class="mark" title="The answer came with an imported dataset">
          imported
        </span>
      )}
    </>
  );
}
