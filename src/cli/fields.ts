import { UsageError } from "../errors.ts";

const FIELDS = ["input", "reference", "id"] as const;

/**
 * The columns that a flag such as `input=article,reference=highlights` names. The name of a column may have commas.
 * @throws UsageError when it names none, or one twice
 */
export function parseFields(text: string): Partial<Record<(typeof FIELDS)[number], string>> {
  const found = text.split(/,(?=(?:input|reference|id)=)/).map((part) => {
    const [, field, name] = /^(input|reference|id)=(.+)$/s.exec(part) ?? [];
    return [field, name] as const;
  });
  const isRepeated = new Set(found.map(([field]) => field)).size < found.length;
  if (isRepeated || found.some(([field]) => field === undefined)) {
    throw new UsageError(
      `--fields ${text} names no columns`,
      `Expected ${FIELDS.map((field) => `${field}=COLUMN`).join(", ")}, each at most once, with commas between them.`,
    );
  }
  return Object.fromEntries(found);
}
