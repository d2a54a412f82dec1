import { UsageError } from "../errors.ts";
import { isTooDeep, TOO_DEEP } from "../files/depth.ts";
import { keysOf, kindOf } from "../files/found.ts";
import { excessOf } from "../files/text-file.ts";
import type { Config } from "../config/schema.ts";
import { topLevel, valueAt } from "./columns.ts";
import { AN_ID, isId } from "./ids.ts";
import type { Column, Row } from "./source.ts";
import type { Where } from "./where.ts";

/** What is read of a row. */
export interface Fields {
  text: string;
  reference: string | null;
  id: string | number | null;
  /** The values of the other columns that prompts use, by their names. None is null. */
  columns: Readonly<Record<string, unknown>>;
}

/** What prompts use of a row besides the input. */
export interface UsedValues {
  columns: readonly string[];
  /** Whether they use the reference, so that each row must have one. */
  reference: boolean;
}

/** How many characters a row takes in memory. */
export function charactersOf({ text, reference, columns }: Fields): number {
  const others = Object.keys(columns).length === 0 ? 0 : JSON.stringify(columns).length;
  return text.length + (reference?.length ?? 0) + others;
}

/** Takes the input, the reference and the id out of rows. */
export interface FieldReader {
  /** The columns that are read. */
  names: readonly string[];
  /**
   * Begins a file. @param columns those that it states
   * @throws UsageError when it lacks a column that the config names
   */
  begin(path: string, columns: readonly Column[] | null): void;
  /** The fields of a row, or what is wrong with it. @throws UsageError when the whole column is not text */
  read(row: Row, place: string): Fields | string;
  /** Why the ids of the default column cannot be used; null if they can. */
  unusableIds(): string | null;
  /** A column that the config names, for inputs or for `where`, and that no row had; null if there is none. */
  missing(where: Where): { name: string; firstRow: string } | null;
}

/**
 * @param others columns that others look at
 * @param withIds false to read no ids but those of a column that the config names
 * @param used what prompts use of the rows
 */
export function fieldReader(
  fields: Config["data_config"]["fields"],
  others: readonly string[],
  withIds: boolean,
  used: UsedValues,
): FieldReader {
  const input = fields?.input ?? "input";
  const reference = fields?.reference === undefined ? "reference" : fields.reference;
  const ids = idReader(fields?.id, withIds);
  /** Columns that some row must have. */
  const unseen = new Set([fields?.reference, fields?.id].filter((name) => typeof name === "string"));
  const named = [...others, ...used.columns];
  const names = [input, reference, ids.name, ...named].filter((name) => name !== null);
  let file: StatedColumns | null = null;
  let first = "";

  function valueOf(row: Row, name: string): unknown {
    const value = valueAt(row, name);
    if (value !== undefined) unseen.delete(name);
    return value;
  }

  return {
    names,
    begin(path, columns) {
      file = columns && { path, types: new Map(columns.map(({ name, type }) => [name, type])) };
      if (file === null) return;
      const { types } = file;
      const missing = [input, ...unseen, ...named].filter(
        (name) => !topLevel([name]).some((column) => types.has(column)),
      );
      if (missing.length === 0) return;
      const isOfTemplate = missing.every((name) => used.columns.includes(name));
      const hint = isOfTemplate ? NAME_IN_TEMPLATE : NAME_COLUMNS;
      throw new UsageError(`${path} has no column ${quoted(missing)}; it has ${quoted([...types.keys()])}`, hint);
    },
    read(row, place) {
      if (first === "") first = keysOf(row);
      const text = valueOf(row, input);
      if (text === undefined) return ` has no "${input}"; it has ${keysOf(row)}`;
      const problem = problemOf(input, text, true, place, file);
      if (problem !== null) return problem;
      const other = reference === null ? null : (valueOf(row, reference) ?? null);
      const otherProblem = other === null ? null : problemOf(reference ?? "", other, false, place, file);
      if (otherProblem !== null) return otherProblem;
      if (used.reference && other === null) return ` has no reference, ${USED}`;
      const columns = columnsOf(row, used.columns);
      if (typeof columns === "string") return columns;
      const id = ids.name === null ? null : ids.read(valueOf(row, ids.name), place);
      return typeof id === "object" && id !== null
        ? id.problem
        : { text: text as string, reference: other as string | null, id, columns };
    },
    unusableIds: () => ids.unusable(),
    missing(where) {
      const { names: missing, firstRow } = where.missing();
      const [name] = [...missing, ...unseen];
      const keys = first === "" ? firstRow : first;
      return name === undefined || keys === "" ? null : { name, firstRow: keys };
    },
  };
}

/** The values of the columns that prompts use, or what is wrong with them. */
function columnsOf(row: Row, names: readonly string[]): Fields["columns"] | string {
  const values: [name: string, value: unknown][] = [];
  for (const name of names) {
    const value = valueAt(row, name);
    if (value === undefined) return ` has no "${name}", ${USED}; it has ${keysOf(row)}`;
    if (value === null) return ` has no value of "${name}", ${USED}`;
    if (isTooDeep(value)) return `: "${name}": ${TOO_DEEP}`;
    const unwritable = unwritableIn(value);
    if (unwritable !== null) return `: "${name}", ${USED}, holds ${unwritable}`;
    const plain = asJson(value);
    const excess = excessOf(typeof plain === "string" ? plain : JSON.stringify(plain));
    if (excess !== null) return `: "${name}" has ${excess}`;
    values.push([name, plain]);
  }
  return Object.fromEntries(values);
}

/** What JSON cannot say in a value; null if there is nothing. A number such as 1e999 is read as infinity. */
function unwritableIn(value: unknown): string | null {
  if (typeof value === "number") return Number.isFinite(value) ? null : "a number that is too large";
  if (typeof value !== "object" || value === null) return null;
  if (value instanceof Uint8Array) return "binary data";
  for (const inner of Object.values(value)) {
    const found = unwritableIn(inner);
    if (found !== null) return found;
  }
  return null;
}

/** A value as JSON can hold it: whole numbers that a number cannot hold become text. */
function asJson(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(asJson);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, asJson(member)]));
}

/** Reads ids. @param named the column that the config names; null for no ids */
function idReader(named: string | null | undefined, withIds: boolean) {
  const name = named === undefined ? (withIds ? "id" : null) : named;
  let hasIds = false;
  let unusable: string | null = null;
  return {
    name,
    /** The id, null where it is not used, or what is wrong with it. */
    read(found: unknown, place: string): Fields["id"] | { problem: string } {
      const value = typeof found === "bigint" ? String(found) : found;
      if (isId(value)) {
        hasIds = true;
        return value;
      }
      const problem =
        value === undefined ? ` has no "${name}"` : `: expected "${name}" to be ${AN_ID}, found ${kindOf(value)}`;
      if (named !== undefined) return { problem };
      unusable ??= place + problem;
      return null;
    },
    unusable: () => (hasIds ? unusable : null),
  };
}

/** The columns that a file states, with their types. */
interface StatedColumns {
  path: string;
  types: ReadonlyMap<string, string>;
}

/**
 * What is wrong with a value that should be text; null if nothing is.
 * @throws UsageError when the column has another type
 */
function problemOf(
  name: string,
  value: unknown,
  isInput: boolean,
  place: string,
  file: StatedColumns | null,
): string | null {
  if (typeof value === "string") {
    if (isInput && value.trim() === "") return `: "${name}" is empty`;
    const excess = excessOf(value);
    return excess === null ? null : `: "${name}" has ${excess}`;
  }
  const type = file?.types.get(name);
  if (file && value !== null && type !== undefined) {
    throw new UsageError(
      `${file.path}: the column "${name}" holds no text, but ${type}: ${place} has ${kindOf(value)}`,
      "data_config.fields names the columns of the inputs and the references; both must hold text.",
    );
  }
  return `: expected "${name}" to be a string${isInput ? "" : " or null"}, found ${kindOf(value)}`;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}

/** What an error says of a value that a row lacks. */
export const USED = "which prompt_template uses";

/** What to do about a value that a template wants, and that is not there. */
export const NAME_IN_TEMPLATE =
  "A name in braces in prompt_template is a column, which every row must have; data_config.fields names that of {reference}, and {{ and }} are braces.";

/** What to do about a column that is not there. */
export const NAME_COLUMNS =
  'data_config.fields names the columns: {"input": "article", "reference": "highlights"}; `datagen data show` shows those of a file.';
