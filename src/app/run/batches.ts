import { dirname, join } from "node:path";
import type { ProviderName } from "../../config/providers.ts";
import { UsageError } from "../../errors.ts";
import { providers } from "../../providers/index.ts";
import type { BatchInfo } from "../../providers/provider-info.ts";
import type { Target } from "../server/target.ts";

/** The folder where a provider without a server keeps its batches. */
export function batchFolder(databasePath: string): string {
  return join(dirname(databasePath), "batches");
}

/** @throws UsageError when a provider has no batch API */
export function batchesOf(provider: ProviderName): BatchInfo {
  const { batches } = providers[provider];
  if (batches) return batches;
  throw new UsageError(`${provider} takes no batches`, "Leave --batch out, or set executor to live.");
}

/** @throws UsageError when the batches of a target's provider do not accept its requests, or would go to several servers */
export function checkBatches({
  provider,
  settings,
  baseUrls,
}: Pick<Target, "provider" | "settings" | "baseUrls">): void {
  const { endpoints } = batchesOf(provider);
  if (baseUrls.length > 1) {
    throw new UsageError(
      `batches go to one server, but model_config.base_url names ${baseUrls.length}`,
      "Leave --batch out, or name one server.",
    );
  }
  if (endpoints.includes(settings.endpoint)) return;
  throw new UsageError(
    `batches of ${provider} accept only requests to the endpoint ${endpoints.join(", ")}, but ${settings.model} uses the endpoint ${settings.endpoint}`,
    "Leave --batch out, or set model_config.endpoint.",
  );
}
