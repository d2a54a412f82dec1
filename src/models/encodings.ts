/** The byte-pair encodings that a tokenizer can be loaded for. */
export type EncodingName = "o200k_base" | "cl100k_base" | "p50k_base" | "r50k_base";

/**
 * The first match counts. gpt2 and the edit models have their own encodings, which differ from r50k_base and p50k_base
 * only in special tokens.
 */
const FAMILIES: readonly (readonly [names: RegExp, encoding: EncodingName])[] = [
  [/^(gpt-[56]|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-oss|chatgpt-|o1|o3|o4)/, "o200k_base"],
  [/^(gpt-4|gpt-3\.5|gpt-35|text-embedding-(ada-002|3-)|davinci-002)/, "cl100k_base"],
  [/^(text-davinci-(002|003|edit)|code-(davinci|cushman)|(davinci|cushman)-codex)/, "p50k_base"],
  [/^(gpt2|((text|code)-(search-|similarity-)?)?(davinci|curie|babbage|ada)\b)/, "r50k_base"],
];

/**
 * The encoding of a model, by its name. A fine-tuned model, `ft:NAME:…`, has the encoding of NAME. A name may begin with
 * `openai/`. Other models have tokenizers that datagen does not have: the newest encoding of OpenAI is used instead, and
 * `estimated` is true.
 */
export function encodingFor(model: string): { encoding: EncodingName; estimated: boolean } {
  const name = model.replace(/^ft:([^:]*).*$/s, "$1").replace(/^openai\//, "");
  const family = FAMILIES.find(([names]) => names.test(name));
  return { encoding: family?.[1] ?? "o200k_base", estimated: family === undefined };
}
