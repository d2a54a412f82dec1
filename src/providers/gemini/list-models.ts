import { requestsWith, type Send } from "../batch-requests.ts";
import { asCount, asText } from "../json.ts";
import type { ListedModel } from "../model-list.ts";
import type { Connection } from "../provider-info.ts";
import { refusalOf } from "../refusal.ts";
import { createFileFetch } from "../transport.ts";
import { pagesOf } from "./batches.ts";
import { answerTo, createClient, fetchFor, timeLimit } from "./sdk.ts";

/** What a model has to do for datagen. */
const ANSWERS = "generateContent";

/** The models that the Gemini API lists, and that answer. It states no prices. */
export async function* listGeminiModels(connection: Connection, signal: AbortSignal): AsyncGenerator<ListedModel> {
  const fetch = fetchFor(connection, createFileFetch(connection));
  const client = createClient(connection, fetch);
  const page =
    (place: object): Send =>
    async ({ signal: own, timeout }) => {
      using late = timeLimit(timeout, own);
      const response = await answerTo(fetch, late.signal, (httpOptions) =>
        client.models.list({ config: { pageSize: 1_000, ...place, httpOptions } }),
      );
      if (!response.ok) throw await refusalOf(response);
      return response;
    };
  for await (const entry of requestsWith(connection).list("models", page, pagesOf("models"), signal)) {
    const id = asText(entry["name"])?.replace(/^models\//, "");
    const methods = entry["supportedGenerationMethods"];
    if (id === undefined || id === "" || (Array.isArray(methods) && !methods.includes(ANSWERS))) continue;
    yield {
      id,
      title: asText(entry["displayName"]),
      contextWindow: asCount(entry["inputTokenLimit"]),
      outputLimit: asCount(entry["outputTokenLimit"]),
      prices: null,
    };
  }
}
