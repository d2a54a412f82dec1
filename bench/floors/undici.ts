// A floor for calls: undici.request with many requests in flight. Bodies are read, and nothing is stored.
import { Agent, request } from "undici";
import { promptsOf } from "./prompts.ts";

const { url, concurrency, prompts } = promptsOf();
const dispatcher = new Agent({ connections: null });

async function work(): Promise<void> {
  for (let next = prompts.next(); !next.done; next = prompts.next()) {
    const { body } = await request(`${url}/chat/completions`, {
      method: "POST",
      dispatcher,
      headers: { "content-type": "application/json", authorization: "Bearer none" },
      body: JSON.stringify({
        model: "gpt-4o-mini",
        max_completion_tokens: 500,
        temperature: 0.7,
        messages: [{ role: "user", content: next.value }],
      }),
    });
    await body.text();
  }
}

await Promise.all(Array.from({ length: concurrency }, work));
