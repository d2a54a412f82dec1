import { dirname, join } from "node:path";
import { UsageError } from "../../errors.ts";
import { providers } from "../../providers/index.ts";
import type { Target } from "../server/target.ts";

/** Where a provider without a server keeps its batches. */
export function batchFolder(databasePath: string): string {
  return join(dirname(databasePath), "batches");
}

/** @throws UsageError where the batches of a target's provider do not take its requests */
export function checkBatches({ provider, settings }: Pick<Target, "provider" | "settings">): void {
  const { endpoints } = providers[provider].batches;
  if (endpoints.includes(settings.endpoint)) return;
  throw new UsageError(
    `batches of ${provider} take requests for ${endpoints.join(", ")} only, and ${settings.model} is asked for ${settings.endpoint}`,
    "Leave --batch out, or set model_config.endpoint.",
  );
}
