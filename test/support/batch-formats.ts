import type { StoredFile } from "./files.ts";
import type { RemoteName } from "./providers/index.ts";

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

export type BatchOperation =
  | "beginUpload"
  | "upload"
  | "listFiles"
  | "getFile"
  | "content"
  | "delete"
  | "create"
  | "listBatches"
  | "get"
  | "cancel";

/** Why a batch failed whole. */
export interface BatchProblem {
  code: string;
  message: string;
  /** From 1. */
  line?: number;
}

/** A batch before a provider's format is put around it. */
export interface BatchFacts {
  id: string;
  provider: RemoteName;
  endpoint: string;
  file: StoredFile;
  metadata: unknown;
  model: string | undefined;
  /** Whether the creation of the batch named the model, and its requests do not. */
  hasOneModel: boolean;
  status: BatchStatus;
  /** When it got into each state. */
  times: Map<BatchStatus, Date>;
  /** `unprocessed`: those that an expired or cancelled batch did not come to. */
  counts: { total: number; completed: number; failed: number; unprocessed: number };
  outputFileId: string | null;
  errorFileId: string | null;
  problems: BatchProblem[];
  isDeleted?: boolean;
}
