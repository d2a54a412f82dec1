import { requestsTo } from "../batch-requests.ts";
import { asCount, asText } from "../json.ts";
import type { ListedModel } from "../model-list.ts";
import type { Connection } from "../provider-info.ts";
import { createFileFetch } from "../transport.ts";
import { PAGES } from "./batches.ts";
import { anthropicClient } from "./client.ts";

/** The models that Anthropic lists. It states no prices. */
export async function* listAnthropicModels(connection: Connection, signal: AbortSignal): AsyncGenerator<ListedModel> {
  const { apiKey, maxAnswerBytes } = connection;
  const client = anthropicClient(connection, createFileFetch(connection));
  const { list } = requestsTo({ client, apiKey, maxAnswerBytes });
  for await (const entry of list("/v1/models", { limit: "1000" }, PAGES, signal)) {
    const id = asText(entry["id"]);
    // A retired model stays in the list, and answers no more.
    if (id === null || id === "" || entry["lifecycle"] === "retired") continue;
    yield {
      id,
      title: asText(entry["display_name"]),
      contextWindow: asCount(entry["max_input_tokens"]),
      outputLimit: asCount(entry["max_tokens"]),
      prices: null,
    };
  }
}
