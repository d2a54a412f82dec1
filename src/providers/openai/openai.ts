import OpenAI from "openai";
import { readCompletion, toCallError } from "../protocol.ts";
import type { Connection, Provider } from "../provider.ts";
import { createFetch, headersOf } from "../transport.ts";
import { adaptParameters } from "./adapt.ts";

/** OpenAI, or any server that speaks its protocol. */
export function connectOpenAi(connection: Connection): Provider {
  const { baseUrl, apiKey, isTrusted } = connection;
  const client = new OpenAI({
    baseURL: baseUrl,
    // The SDK wants a key; without one the header that would carry it is taken away again.
    apiKey: apiKey ?? "none",
    adminAPIKey: null,
    ...(!isTrusted && { organization: null, project: null }),
    defaultHeaders: headersOf(connection, "OPENAI_CUSTOM_HEADERS"),
    maxRetries: 0,
    logLevel: "off",
    fetch: createFetch(),
  });
  return {
    async complete({ endpoint, model, prompt, parameters, timeoutMs, signal }) {
      const { accepted } = adaptParameters(model, endpoint, parameters);
      const options = { timeout: timeoutMs, signal };
      try {
        const response =
          endpoint === "chat"
            ? await client.chat.completions
                .create({ ...accepted, model, messages: [{ role: "user", content: prompt }], stream: false }, options)
                .asResponse()
            : await client.completions.create({ ...accepted, model, prompt, stream: false }, options).asResponse();
        return await readCompletion(response, model);
      } catch (error) {
        signal.throwIfAborted();
        throw toCallError(error, apiKey);
      }
    },
  };
}
