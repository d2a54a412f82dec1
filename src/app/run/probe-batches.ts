import { setTimeout as sleep } from "node:timers/promises";
import { UsageError } from "../../errors.ts";
import { repeat } from "../../execute/repeat.ts";
import { kindOf } from "../../execute/retry.ts";
import { CallError } from "../../providers/provider.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { isMissing, serverError } from "../server/server-errors.ts";
import { isOwnHost, type Server } from "../server/target.ts";
import { batchesOf } from "./batches.ts";

/** Finds out whether a server takes batches. @throws UsageError if it does not, StoppedError if it does not say */
export type BatchProbe = (server: Server, connection: Connection, folder: string) => Promise<void>;

/** How often a server is asked that fails in a way that may pass. */
const MOST_TRIES = 4;
const LONGEST_DELAY_MS = 10_000;

/** A probe for one command: it asks each server once. Providers are known to take batches at their own hosts. */
export function createBatchProbe(): BatchProbe {
  const known = new Map<string, Promise<void>>();
  return async (server, connection, folder) => {
    const { provider, baseUrl } = server;
    if (baseUrl === null || isOwnHost(provider, baseUrl)) return;
    const found = known.get(`${provider} ${baseUrl}`) ?? probe(server, baseUrl, connection, folder);
    known.set(`${provider} ${baseUrl}`, found);
    await found;
  };
}

async function probe({ provider }: Server, baseUrl: string, connection: Connection, folder: string): Promise<void> {
  const batches = await batchesOf(provider).connect(connection, folder);
  try {
    await repeat(
      () => batches.probe(new AbortController().signal),
      async (error, backoff, sent) => {
        const delayMs = isRefusal(error) || sent === MOST_TRIES ? null : backoff();
        if (delayMs === null) throw error;
        await sleep(Math.min(LONGEST_DELAY_MS, delayMs));
      },
    );
  } catch (error) {
    throw error instanceof CallError && isRefusal(error) ? noBatches(baseUrl, error) : serverError(baseUrl, error);
  }
}

/** Whether a server has said that it does not have what is asked for, or does not take such a request. */
function isRefusal(error: CallError): boolean {
  return isMissing(error) || ["fail", "content"].includes(kindOf(error.reason));
}

function noBatches(baseUrl: string, { message, details }: CallError): UsageError {
  const status = details.httpStatus === null ? "" : ` ${details.httpStatus}:`;
  return new UsageError(
    `${baseUrl} has no batch API; to GET /batches it answered${status} ${message}`,
    "Leave --batch out, or set executor to live. Check the base URL: most end in /v1. vLLM, Ollama and llama.cpp take no batches themselves; a LiteLLM proxy before them can.",
  );
}
