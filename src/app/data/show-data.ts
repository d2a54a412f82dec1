import type { FormatName } from "../../config/formats.ts";
import { UsageError } from "../../errors.ts";
import { valueAt } from "../../sources/columns.ts";
import { isId } from "../../sources/ids.ts";
import { formatOf } from "../../sources/index.ts";
import { openFiles } from "../../sources/input-files.ts";
import type { Row, SourceRow } from "../../sources/source.ts";
import { Tally } from "../../sources/tally.ts";
import { type ColumnProfile, createProfiler, type Profiler } from "./column-profiles.ts";
import { type FieldNames, isNameOfIds, type ProposedFields, proposeFields } from "./propose-fields.ts";

/** What is in files, and how a config reads them. */
export interface DataShown {
  files: { path: string; format: FormatName; rows: number }[];
  rows: number;
  /** The rows that cannot be read, and the first of them. */
  bad_rows: { count: number; first: string[] };
  columns: ColumnProfile[];
  /** Whether there are more columns than these. */
  has_more_columns: boolean;
  /** The part of a config that reads the files; null if no column holds texts. */
  data_config: { input_data_path: string | string[]; fields?: ProposedFields } | null;
  /** How its columns were found: given, by their names, or by the lengths of their texts. */
  chosen_by: "fields" | "names" | "lengths" | null;
}

export interface ShowDataOptions {
  /** The columns to use in place of those that would be proposed. */
  fields?: Partial<FieldNames> | undefined;
  /** Reads only about so many rows at the start. Then no column of ids is proposed: an id may repeat further on. */
  mostRows?: number;
  onWarning?: (message: string) => void;
}

const MOST_BAD_ROWS = 5;

/**
 * Reads files of inputs once, as a stream, and shows what is in them.
 * @param paths paths or patterns
 * @throws UsageError when a file cannot be read, or a column of `fields` is not there
 */
export async function showData(paths: readonly string[], options: ShowDataOptions = {}): Promise<DataShown> {
  const { fields, mostRows, onWarning = () => {} } = options;
  const [only = "", ...others] = paths;
  const path = others.length === 0 ? only : [...paths];
  const files: DataShown["files"] = [];
  let rows = 0;
  const bad: DataShown["bad_rows"] = { count: 0, first: [] };
  const types = new Map<string, string>();
  const profiler = createProfiler();
  const idFinder = createIdFinder();
  const missing = new Set(Object.values(fields ?? {}));
  const open = openFiles({ input_data_path: path }, { columns: null, onWarning });
  try {
    for await (const chunk of open.chunks()) {
      if (files.at(-1)?.path !== chunk.path) files.push({ path: chunk.path, format: formatOf(chunk.path), rows: 0 });
      const file = files.at(-1)!;
      for (const { name, type } of chunk.columns ?? []) types.set(name, type);
      file.rows += chunk.rows.length;
      for (const row of chunk.rows) {
        if ("problem" in row) {
          bad.count += 1;
          if (bad.first.length < MOST_BAD_ROWS) bad.first.push(`${placeOf(chunk.path, row)}${row.problem}`);
          continue;
        }
        profiler.add(row.row);
        idFinder.add(row.row);
        for (const name of missing) if (valueAt(row.row, name) !== undefined) missing.delete(name);
      }
      rows += chunk.rows.length;
      if (mostRows !== undefined && rows >= mostRows) break;
    }
  } finally {
    await open.close();
  }
  const columns = profiler.profiles(types);
  if (missing.size > 0) throw noColumns(only, missing, columns);
  const proposed = fields
    ? { fields: { input: "input", ...fields }, by: "fields" as const }
    : // A config cannot name a column without a name.
      proposeFields(columns.filter(({ name }) => name !== "" && profiler.isText(name)));
  if (proposed) warnOfInputs(proposed.fields.input, columns, profiler, onWarning);
  const id = mostRows === undefined ? idFinder.found() : null;
  const named = proposed && {
    ...(hasOtherReferences(columns, profiler) ? { reference: null } : {}),
    ...proposed.fields,
    ...(fields || id === null ? {} : { id }),
  };
  return {
    files,
    rows,
    bad_rows: bad,
    columns,
    has_more_columns: profiler.hasMore(),
    data_config: named && { input_data_path: path, ...withoutDefaults(named) },
    chosen_by: proposed?.by ?? null,
  };
}

function placeOf(path: string, { index, line }: SourceRow): string {
  return `${path}: row ${index}${line === null ? "" : ` (line ${line})`}`;
}

/** Whether the default column of references has values, but not only texts: a run could not read it. */
function hasOtherReferences(columns: readonly ColumnProfile[], profiler: Profiler): boolean {
  return columns.some(
    ({ name, filled }) =>
      /^reference(\.|$)/.test(name) && filled > 0 && (name !== "reference" || !profiler.isText(name)),
  );
}

/** The fields that a config must name: those that are not called like the default columns. */
function withoutDefaults(named: ProposedFields): { fields?: ProposedFields } {
  const other = Object.entries(named).filter(([field, name]) => field !== name);
  return other.length === 0 ? {} : { fields: Object.fromEntries(other) };
}

/** Says why inputs could not be read from a column. */
function warnOfInputs(
  name: string,
  columns: readonly ColumnProfile[],
  profiler: Profiler,
  onWarning: (message: string) => void,
): void {
  const column = columns.find((other) => other.name === name);
  if (!column || !profiler.isText(name)) {
    onWarning(`inputs must be texts, but "${name}" has ${column?.type ?? "an object"}`);
  } else if (column.first_missing !== null) {
    onWarning(`some rows have no text in "${name}", such as row ${column.first_missing}; a run needs a text in each`);
  }
}

/** Finds a column of ids by its name, if each row has its own text or whole number there. */
function createIdFinder(): { add: (row: Row) => void; found: () => string | null } {
  let candidates: { name: string; tally: Tally }[] | null = null;
  return {
    add(row) {
      candidates ??= Object.hasOwn(row, "id")
        ? []
        : Object.keys(row)
            .filter(isNameOfIds)
            .slice(0, MOST_CANDIDATES)
            .map((name) => ({ name, tally: new Tally() }));
      candidates = candidates.filter(({ name, tally }) => {
        const value = row[name];
        return isId(value) && tally.addId(value);
      });
    },
    found: () => candidates?.[0]?.name ?? null,
  };
}

const MOST_CANDIDATES = 2;

function noColumns(path: string, missing: ReadonlySet<string>, columns: readonly ColumnProfile[]): UsageError {
  const quoted = (names: readonly string[]) => names.map((name) => JSON.stringify(name)).join(", ");
  const known = columns.slice(0, MOST_NAMES).map(({ name }) => name);
  return new UsageError(`${path} has no column ${quoted([...missing])}; it has ${quoted(known)}`);
}

const MOST_NAMES = 20;
