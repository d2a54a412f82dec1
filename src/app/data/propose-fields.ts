import type { ColumnProfile } from "./column-profiles.ts";

/** The columns of the inputs, of the references and of the ids. */
export interface FieldNames {
  input: string;
  reference?: string;
  id?: string;
}

/** `fields` of a config. The references are null where their default column does not hold texts. */
export type ProposedFields = Partial<Omit<FieldNames, "reference">> & { reference?: string | null };

/** How the columns of inputs and of their references are called in datasets of this field, the surest first. */
const PAIRS: readonly [input: string, reference: string][] = [
  ["input", "reference"],
  ["article", "highlights"],
  ["article", "summary"],
  ["article", "abstract"],
  ["document", "summary"],
  ["documents", "summary"],
  ["document", "abstract"],
  ["documents", "tldr"],
  ["dialogue", "summary"],
  ["dialog", "summary"],
  ["conversation", "summary"],
  ["report", "summary"],
  ["transcript", "summary"],
  ["chapter", "summary"],
  ["content", "summary"],
  ["body", "summary"],
  ["text", "summary"],
  ["paper", "review"],
  ["paper", "abstract"],
  ["question", "answer"],
  ["query", "answer"],
  ["prompt", "completion"],
  ["prompt", "response"],
  ["prompt", "answer"],
  ["instruction", "output"],
  ["instruction", "response"],
  ["source", "target"],
  ["source", "reference"],
  ["src", "tgt"],
  ["src", "ref"],
  ["original", "simplification"],
  ["original", "translation"],
  ["complex", "simple"],
  ["normal", "simple"],
  ["sentence1", "sentence2"],
  ["input", "output"],
  ["input", "target"],
  ["text", "reference"],
];

/** How columns of inputs are called where there are no references. */
const INPUTS = [
  "input",
  "article",
  "document",
  "dialogue",
  "text",
  "content",
  "body",
  "paper",
  "abstract",
  "question",
  "prompt",
  "source",
  "sentence",
];

/** A column of a language in an object, such as `translation.de`. */
const TRANSLATION = /^(.*\.)?translation\.([a-z]{2,3}(?:[_-]\w+)?)$/i;

/** Columns that may hold ids, other than `id`, which is found without being named. */
const ID = /^(_id|guid|uid|uuid|key|idx|index|docid|[a-z]+_id)$/i;

/** Whether a column may hold ids, by its name. */
export function isNameOfIds(name: string): boolean {
  return name !== "id" && ID.test(name);
}

/**
 * Which columns hold the inputs and the references: by their names, else the input by the length of its texts.
 * @param columns those that hold texts, in their order
 * @returns null if there are none
 */
export function proposeFields(
  columns: readonly ColumnProfile[],
): { fields: FieldNames; by: "names" | "lengths" } | null {
  const named = new Map(columns.toReversed().map(({ name }) => [name.toLowerCase(), name]));
  for (const [first, second] of PAIRS) {
    const [input, reference] = [named.get(first), named.get(second)];
    if (input !== undefined && reference !== undefined) return { fields: { input, reference }, by: "names" };
  }
  const [from, to] = columns.map(({ name }) => name).filter((name) => TRANSLATION.test(name));
  if (from !== undefined && to !== undefined) return { fields: { input: from, reference: to }, by: "names" };
  const single = INPUTS.map((name) => named.get(name)).find((name) => name !== undefined);
  if (single !== undefined) return { fields: { input: single }, by: "names" };
  const [longest] = columns.toSorted((a, b) => (b.mean_characters ?? 0) - (a.mean_characters ?? 0));
  return longest === undefined ? null : { fields: { input: longest.name }, by: "lengths" };
}
