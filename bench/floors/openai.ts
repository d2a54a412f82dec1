// A floor for calls: the plain OpenAI SDK with p-limit, as in a careful script. Nothing is stored.
import OpenAI from "openai";
import pLimit from "p-limit";
import { promptsOf } from "./prompts.ts";

const { url, concurrency, prompts } = promptsOf();
const client = new OpenAI({ baseURL: url, apiKey: "none" });
const limit = pLimit(concurrency);

await Promise.all(
  Array.from(prompts, (content) =>
    limit(() =>
      client.chat.completions.create({
        model: "gpt-4o-mini",
        max_completion_tokens: 500,
        temperature: 0.7,
        messages: [{ role: "user", content }],
      }),
    ),
  ),
);
