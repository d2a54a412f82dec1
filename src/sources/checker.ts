import type { Config } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { MOST_BAD_ROWS } from "../files/found.ts";
import { type FieldReader, type Fields, NAME_COLUMNS, NAME_IN_TEMPLATE, USED } from "./fields.ts";
import { nameOfInputs } from "./input-files.ts";
import type { SourceRow } from "./source.ts";
import { Tally } from "./tally.ts";
import type { Where } from "./where.ts";

export interface Checker {
  /** Whether so many rows are bad that no others need to be checked. */
  isFull(): boolean;
  hasBad(): boolean;
  /** Whether the ids can be used. */
  hasIds(): boolean;
  /** The fields of a row; null if anything is wrong with it. */
  check(path: string, row: SourceRow): Fields | null;
  /**
   * @param rows how many were looked at
   * @param isWhole whether these are all rows
   * @throws UsageError when anything is wrong
   */
  end(rows: number, isWhole: boolean): void;
}

/** Checks rows, and collects what is wrong with them. */
export function createChecker(
  data: Config["data_config"],
  fields: FieldReader,
  where: Where,
  onWarning: (message: string) => void,
): Checker {
  const name = nameOfInputs(data);
  const bad: string[] = [];
  const tally = new Tally();
  /** Ids of the default column cannot be wrong: they are not used then. */
  const isIdOptional = typeof data.fields?.id !== "string";
  let ignored: string | null = null;

  const placeOf = (path: string, { index, line }: SourceRow) => {
    const row = line === null ? `row ${index}` : `row ${index} (line ${line})`;
    return path === name ? row : `${path}: ${row}`;
  };

  function checkId(id: string | number, place: string): void {
    if (tally.addId(id)) return;
    const problem = `${place} has the id ${JSON.stringify(id)}, which an earlier row has`;
    if (isIdOptional) ignored ??= problem;
    else bad.push(problem);
  }

  return {
    isFull: () => bad.length >= MOST_BAD_ROWS,
    hasBad: () => bad.length > 0,
    hasIds: () => ignored === null,
    check(path, row) {
      const place = placeOf(path, row);
      const found = "problem" in row ? row.problem : fields.read(row.row, place);
      if (typeof found === "string") {
        bad.push(`${place}${found}`);
        return null;
      }
      ignored ??= fields.unusableIds();
      if (found.id !== null) checkId(found.id, place);
      return found;
    },
    end(rows, isWhole) {
      if (bad.length > 0) throw badRows(name, bad);
      const missing = fields.missing(where);
      if (missing !== null) {
        const { name: column, firstRow } = missing;
        const which = isWhole ? "no row" : `none of the first ${rows} rows`;
        const message = `${which} of ${name} has the column "${column}"; the first row has ${firstRow}`;
        // Later rows may have it.
        if (isWhole) throw new UsageError(message, NAME_COLUMNS);
        onWarning(message);
      }
      if (rows === 0) throw noRows(name, where);
      const { offset = 0 } = data;
      if (rows <= offset) {
        throw new UsageError(`${name} has ${rows} rows to choose from, and data_config.offset leaves out ${offset}`);
      }
      if (ignored === null) return;
      onWarning(`the column "id" is not used, because ${ignored}; data_config.fields can name another column of ids`);
    },
  };
}

function noRows(name: string, where: Where): UsageError {
  const found = where.found();
  return found.length === 0
    ? new UsageError(`${name} has no rows`, "It needs at least one {input, reference?}.")
    : new UsageError(
        `no row of ${name} has what data_config.where wants`,
        `Of the rows that it leaves out, ${found.join("; ")}.`,
      );
}

function badRows(name: string, bad: readonly string[]): UsageError {
  const more = bad.length === MOST_BAD_ROWS ? "\n  (the rows after these were not checked)" : "";
  const count = bad.length === 1 ? "1 bad row" : `${bad.length} bad rows`;
  return new UsageError(
    `${name} has ${count}:\n${bad.map((text) => `  ${text}`).join("\n")}${more}`,
    bad.every((text) => text.includes(USED))
      ? NAME_IN_TEMPLATE
      : 'A row is an object such as {"input": "a text", "reference": "another"}; reference may be left out, and data_config.fields can name other columns.',
  );
}
