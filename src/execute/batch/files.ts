import { CallError } from "../../providers/provider.ts";
import { flushLog } from "../../store/file/wal.ts";
import type { BatchRun } from "./run.ts";

/**
 * Deletes files at the provider whose contents are stored, unless the config keeps them. Where that fails they stay, and
 * the run goes on.
 */
export async function removeFiles(run: BatchRun, fileIds: readonly (string | null)[]): Promise<void> {
  const { job, provider } = run;
  const ids = new Set(fileIds.filter((id) => id !== null));
  if (job.batches.keepsFiles || job.drain.aborted || ids.size === 0) return;
  // What a loss of power would take back can be read once more from the provider alone.
  if (!flushLog(job.store)) return;
  await Promise.all([...ids].map((id) => remove(id)));

  async function remove(id: string): Promise<void> {
    try {
      await provider.remove(id, job.drain);
    } catch (error) {
      if (job.drain.aborted || run.hasWarnedOfFiles) return;
      run.hasWarnedOfFiles = true;
      const why = error instanceof CallError ? error.message : String(error);
      job.onEvent({
        type: "warning",
        message: `a file of a batch could not be deleted, and stays at the provider: ${why}`,
      });
    }
  }
}
