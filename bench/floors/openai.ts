// The OpenAI SDK as it comes, with p-limit: what a careful script would do. Nothing is kept.
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
