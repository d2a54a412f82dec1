import { dirname, join } from "node:path";
import type { ProviderName } from "../../config/providers.ts";
import { UsageError } from "../../errors.ts";
import { providers } from "../../providers/index.ts";
import type { BatchInfo } from "../../providers/provider-info.ts";
import type { Target } from "../server/target.ts";

/** Where a provider without a server keeps its batches. */
export function batchFolder(databasePath: string): string {
  return join(dirname(databasePath), "batches");
}

/** @throws UsageError where a provider takes no batches */
export function batchesOf(provider: ProviderName): BatchInfo {
  const { batches } = providers[provider];
  if (batches) return batches;
  throw new UsageError(`${provider} takes no batches`, "Leave --batch out, or set executor to live.");
}

/** @throws UsageError where the batches of a target's provider do not take its requests */
export function checkBatches({ provider, settings }: Pick<Target, "provider" | "settings">): void {
  const { endpoints } = batchesOf(provider);
  if (endpoints.includes(settings.endpoint)) return;
  throw new UsageError(
    `batches of ${provider} take requests for ${endpoints.join(", ")} only, and ${settings.model} is asked for ${settings.endpoint}`,
    "Leave --batch out, or set model_config.endpoint.",
  );
}
