/** The inputs of a new experiment. */
export const EXAMPLE_INPUTS = [
  {
    input:
      "The city library will open on Sundays from May. A trial last autumn brought 400 visitors a week, most of them families. The council pays for the staff until the end of the year, and will then decide again.",
    reference: "The library opens on Sundays from May, paid for by the council until the end of the year.",
  },
  {
    input:
      "Engineers have found cracks in two of the bridge's forty cables. Lorries must take another route until the cables are replaced, which may take three months. Cars and buses are not affected.",
    reference: "Two cracked cables close the bridge to lorries for about three months.",
  },
  {
    input:
      "In a study with 120 volunteers, people who walked for half an hour before an exam scored slightly higher than those who sat. The difference was small, and the authors warn that the volunteers were all young and healthy.",
    reference: "Walking before an exam went with slightly higher scores in a small study of young volunteers.",
  },
];

/** The text of the config of a new experiment. */
export function exampleConfig(inputs: string): string {
  return `{
  // An editor that knows JSON Schema checks and completes this file. Comments and trailing commas are allowed.
  "$schema": "./datagen.schema.json",

  // Any name. It begins the names of the datasets.
  "task_type": "summarization",
  "task_description": "Summarise a short news text in one sentence",

  // The model that answers. Its name chooses the provider, whose key has to be set: gpt-… is OpenAI (OPENAI_API_KEY),
  // claude-… Anthropic (ANTHROPIC_API_KEY), gemini-… Google (GEMINI_API_KEY), any other name Together (TOGETHER_API_KEY).
  // For your own server add "base_url": "http://localhost:11434/v1" beside "model_name".
  "model_config": {
    "model_name": "gpt-4o-mini",
    "max_tokens": 200, // the longest answer, in tokens
    "temperature": 0.7,
  },

  // Every input is answered once from every perspective. The text of the input follows the instruction, in backticks.
  "agent_perspectives": [
    {
      "condition": "Faithful",
      "strategy": "Summarise the text in backticks in one sentence. Add nothing that it does not say. Output only the sentence.",
    },
    {
      // With a "reading" the model first takes notes on the input, and the strategy gets only the notes.
      "condition": "Faithful: from notes",
      "reading": "List the facts of the text in backticks, the most important first. Output only the list.",
      "strategy": "Write one sentence that says the most important of the facts in backticks. Output only the sentence.",
    },
    {
      "condition": "Exaggerating",
      "strategy": "Summarise the text in backticks in one sentence that makes it sound far more dramatic than it is. Output only the sentence.",
    },
  ],

  // One JSON object a line, with an "input" and, if there is one, a "reference".
  "data_config": {
    "input_data_path": ${JSON.stringify(inputs)},
    "sample_size": ${EXAMPLE_INPUTS.length}, // how many inputs to use, from the first
  },

  // The run stops before it could cost more, in US dollars.
  // "max_cost_usd": 1,
}
`;
}
