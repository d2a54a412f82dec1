import { BaseAnthropic } from "@anthropic-ai/sdk";
import type { Client } from "../client.ts";
import type { Connection } from "../provider-info.ts";
import { headersOf } from "../transport.ts";

/**
 * The version of the API. In the next one, 2026-10-21, no model takes a temperature, and requests that all models take
 * are the same.
 */
const API_VERSION = "2023-06-01";

/** The client of Anthropic's SDK, without its resources: datagen sends its own bodies, and reads the answers itself. */
export function anthropicClient(connection: Connection, fetch: typeof globalThis.fetch): Client {
  const { baseUrl, apiKey } = connection;
  return new BaseAnthropic({
    baseURL: baseUrl,
    // With a key, the SDK looks for no other credential. The headers say whether it is sent.
    apiKey: apiKey ?? "none",
    webhookKey: null,
    defaultHeaders: {
      ...headersOf(connection, CUSTOM_HEADERS),
      ...keyHeaders(connection),
      "anthropic-version": API_VERSION,
    },
    openTelemetry: false,
    maxRetries: 0,
    logLevel: "off",
    fetch,
  });
}

const CUSTOM_HEADERS = "ANTHROPIC_CUSTOM_HEADERS";

/** The key in the header of the API's documentation. The SDK would send it as a token, which not all gateways take. */
function keyHeaders({ apiKey, isTrusted }: Connection): Record<string, string | null> {
  const setsToken = isTrusted && /^\s*authorization\s*:/im.test(process.env[CUSTOM_HEADERS] ?? "");
  return { "X-Api-Key": apiKey ?? null, ...(!setsToken && { Authorization: null }) };
}
