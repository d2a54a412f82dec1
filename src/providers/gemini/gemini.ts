import { liveProvider } from "../live.ts";
import type { Provider } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { refusalOf } from "../refusal.ts";
import { createTransport } from "../transport.ts";
import { readCompletion } from "./answer.ts";
import { requestOf } from "./body.ts";
import { answerTo, createClient, fetchFor, timeLimit } from "./sdk.ts";

/** The Gemini API. */
export function connectGemini(connection: Connection): Provider {
  const { apiKey } = connection;
  const { fetch: transport, close } = createTransport(connection);
  const fetch = fetchFor(connection, transport);
  const client = createClient(connection, fetch);
  return liveProvider({ apiKey, close }, async ({ timeoutMs, ...question }) => {
    const { model } = question;
    const { contents, systemInstruction, generationConfig, extra } = requestOf(question);
    using late = timeLimit(timeoutMs);
    const response = await answerTo(fetch, late.signal, (httpOptions) =>
      client.models.generateContent({
        model,
        contents,
        config: {
          ...generationConfig,
          ...(systemInstruction && { systemInstruction }),
          // The SDK would send further requests for the rest of a long answer.
          automaticContinuation: false,
          httpOptions: { ...httpOptions, ...(extra && { extraBody: extra }) },
        },
      }),
    );
    if (!response.ok) throw await refusalOf(response);
    return await readCompletion(response, model, apiKey);
  });
}
