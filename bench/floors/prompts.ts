import { inputs, instructions } from "../workload.ts";

/** The requests of a floor, from its command line: the server's URL, the number of inputs, the concurrency. */
export function promptsOf(): { url: string; concurrency: number; prompts: Generator<string, void> } {
  const [url = "", inputCount, concurrency] = process.argv.slice(2);
  return { url, concurrency: Number(concurrency), prompts: prompts(Number(inputCount)) };
}

/** The prompts of the workload, as datagen renders them. */
function* prompts(inputCount: number): Generator<string, void> {
  const ways = instructions();
  for (const input of inputs(inputCount)) {
    for (const way of ways) yield `${way}\n\n\`\`\`${input}\`\`\`${way}\n\n`;
  }
}
