import Together from "together-ai";
import { readCompletion, toCallError } from "../protocol.ts";
import type { Connection, Provider } from "../provider.ts";
import { createFetch, headersOf } from "../transport.ts";

export function connectTogether(connection: Connection): Provider {
  const { baseUrl, apiKey, isTrusted } = connection;
  const client = new Together({
    baseURL: baseUrl,
    // The SDK wants a key; without one the header that would carry it is taken away again.
    apiKey: apiKey ?? "",
    ...(!isTrusted && { projectID: null }),
    defaultHeaders: headersOf(connection, "TOGETHER_CUSTOM_HEADERS"),
    maxRetries: 0,
    logLevel: "off",
    fetch: createFetch(),
  });
  return {
    async complete({ endpoint, model, prompt, parameters, timeoutMs, signal }) {
      const { extra_body: extra, ...given } = parameters;
      const body = { ...given, ...(extra as object | undefined), model, stream: false as const };
      const options = { timeout: timeoutMs, signal };
      try {
        const response =
          endpoint === "chat"
            ? await client.chat.completions
                .create({ ...body, messages: [{ role: "user", content: prompt }] }, options)
                .asResponse()
            : await client.completions.create({ ...body, prompt }, options).asResponse();
        return await readCompletion(response, model);
      } catch (error) {
        signal.throwIfAborted();
        throw toCallError(error, apiKey);
      }
    },
  };
}
