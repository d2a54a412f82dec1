import { dirname, join } from "node:path";
import type { ProviderName } from "../../config/providers.ts";
import { UsageError } from "../../errors.ts";
import { providers } from "../../providers/index.ts";
import type { BatchProvider } from "../../providers/batch.ts";
import type { BatchInfo, Connection } from "../../providers/provider-info.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import { isOwnHost, type Target } from "../server/target.ts";

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

/** The limits of a batch at servers of which datagen knows none. */
const ELSEWHERE = { requests: 50_000, bytes: 100_000_000 };

/**
 * Connects to the batches of a run's server, with their limits: those of the config, else those of the provider, which
 * other servers may not have.
 */
export async function connectBatches(
  { provider, baseUrl, config }: Pick<RunRow, "provider" | "baseUrl" | "config">,
  connection: Connection,
  databasePath: string,
): Promise<BatchProvider> {
  const batches = await batchesOf(provider).connect(connection, batchFolder(databasePath));
  const { requests, bytes } = batches.limits;
  const isOwn = baseUrl === null || isOwnHost(provider, baseUrl);
  const usual = isOwn
    ? { requests, bytes }
    : { requests: Math.min(requests, ELSEWHERE.requests), bytes: Math.min(bytes, ELSEWHERE.bytes) };
  const { max_batch_requests: mostRequests = usual.requests, max_batch_mb: mostMb } = config;
  batches.limits = { requests: mostRequests, bytes: mostMb === undefined ? usual.bytes : mostMb * 1_000_000 };
  return batches;
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
