import { buildOnce } from "../client.ts";
import { readJson } from "../json-body.ts";
import { liveProvider } from "../live.ts";
import type { Provider } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { detailsOf } from "../response-details.ts";
import { createTransport } from "../transport.ts";
import { completionOf } from "./answer.ts";
import { anthropicClient } from "./client.ts";
import { bodyOf } from "./messages.ts";

/** Anthropic's Messages API, each request on its own. */
export function connectAnthropic(connection: Connection): Provider {
  const { apiKey } = connection;
  const { fetch, close } = createTransport(connection);
  const client = anthropicClient(connection, fetch);
  buildOnce(client);
  return liveProvider({ apiKey, close }, async ({ timeoutMs: timeout, ...question }) => {
    const body = { ...bodyOf(question), stream: false };
    const response = await client.post("/v1/messages", { body, timeout }).asResponse();
    const details = detailsOf(response.status, response.headers);
    return completionOf(await readJson(response), question.model, details, apiKey);
  });
}
