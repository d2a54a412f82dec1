import { UsageError } from "../errors.ts";
import { openTextFile } from "../files/text-file.ts";
import { cellsOf, CsvCutter, type CsvRow, lineBreaksIn } from "./csv-rows.ts";
import { INPUT_FILE } from "./input-file.ts";
import { separatorOf } from "./separator.ts";
import type { OpenOptions, OpenSource, Row, Source, SourceRow } from "./source.ts";

/** Comma-separated values: a header, then rows of cells. Semicolons and tabs may take the place of the commas. */
export const csv: Source = {
  endings: ["csv"],
  isText: true,
  open: (path, options) => openTable(path, options, null),
};

/** Tab-separated values, with the quotes of CSV. */
export const tsv: Source = {
  endings: ["tsv", "tab"],
  isText: true,
  open: (path, options) => openTable(path, options, "\t"),
};

/** How separators are called, except for the usual one. */
const SEPARATOR_NAMES: Readonly<Record<string, string>> = { ";": "semicolons", "\t": "tabs" };

/** How many characters are enough to find the separator. */
const BEGIN = 1 << 16;

/** More columns are not a header. */
const MOST_COLUMNS = 10_000;

/** @param given the separator; null to find it */
async function openTable(path: string, options: OpenOptions, given: string | null): Promise<OpenSource> {
  let placeOfNext = () => "on line 1";
  const file = await openTextFile(path, INPUT_FILE, () => placeOfNext());
  try {
    const chunks = file.text[Symbol.asyncIterator]();
    const { begin, isWhole } = await beginOf(chunks, path, (read) => {
      placeOfNext = () => `on line ${1 + lineBreaksIn(read)}`;
    });
    const separator = given ?? separatorOf(begin, isWhole);
    const name = given === null ? SEPARATOR_NAMES[separator] : undefined;
    if (name !== undefined) options.onWarning(`cells are separated by ${name}, not by commas`);
    const cutter = new CsvCutter(path, separator);
    placeOfNext = () => `in the row that begins on line ${cutter.line}`;
    const cut = rowsOf(begin, chunks, cutter);
    const first = await cut.next();
    const [header, ...others] = first.done ? [] : first.value;
    if (!header) throw empty(path);
    const names = namesOf(header, separator, path);
    const padded = names.filter((column) => column !== column.trim()).slice(0, 8);
    if (padded.length > 0) {
      const list = padded.map((column) => JSON.stringify(column)).join(", ");
      options.onWarning(`the header has blanks around ${list}, which are parts of the names`);
    }
    const toRow = rowReader(names, options.columns, separator);
    const rows = withFirst(others, cut);
    let index = 0;

    return {
      columns: columnsOf(names).map((column) => ({ name: column, type: "text" })),
      async *rows() {
        for (let next = await rows.next(); !next.done; next = await rows.next()) {
          yield next.value.map((csvRow): SourceRow => {
            const place = { index, line: csvRow.line };
            const row = toRow(csvRow);
            index += 1;
            return typeof row === "string" ? { ...place, problem: ` ${row}` } : { ...place, row };
          });
        }
        if (index === 0) throw new UsageError(`${path} has a header, but no rows`);
      },
      async countRest() {
        let count = 0;
        for (let next = await rows.next(); !next.done; next = await rows.next()) count += next.value.length;
        return count;
      },
      sha256: () => file.sha256(),
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The first part of a text, by which the separator is found. @throws UsageError when the text is empty, or JSON */
async function beginOf(
  chunks: AsyncIterator<string>,
  path: string,
  onText: (begin: string) => void,
): Promise<{ begin: string; isWhole: boolean }> {
  let begin = "";
  let isWhole = false;
  while (begin.length < BEGIN && !isWhole) {
    const { done, value } = await chunks.next();
    if (done) isWhole = true;
    else begin += value;
    onText(begin);
  }
  if (isWhole && begin.trim() === "") throw empty(path);
  if (/^\s*(\[\s*)?\{\s*"/.test(begin)) {
    throw new UsageError(`${path} holds JSON: let its name end in .json or .jsonl, or set the format to "jsonl"`);
  }
  return { begin, isWhole };
}

/** The rows of a text in chunks, none of which is empty. */
async function* rowsOf(begin: string, chunks: AsyncIterator<string>, cutter: CsvCutter): AsyncGenerator<CsvRow[]> {
  const first = cutter.cut(begin);
  if (first.length > 0) yield first;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    const rows = cutter.cut(next.value);
    if (rows.length > 0) yield rows;
  }
  const last = cutter.end();
  if (last.length > 0) yield last;
}

async function* withFirst(first: CsvRow[], rest: AsyncGenerator<CsvRow[]>): AsyncGenerator<CsvRow[]> {
  if (first.length > 0) yield first;
  yield* rest;
}

/** The names in a header. @throws UsageError when they cannot name columns */
function namesOf(header: CsvRow, separator: string, path: string): string[] {
  const { line, problem } = header;
  if (problem !== null) throw new UsageError(`${path}, line ${line}: the header ${problem}`);
  const cells = cellsOf(header, separator);
  if (cells.length > MOST_COLUMNS) {
    throw new UsageError(
      `${path}, line ${line}: the header has ${cells.length} columns; expected at most ${MOST_COLUMNS}`,
      "Is it a header? The first line must name the columns.",
    );
  }
  const repeated = columnsOf(cells.filter((name, at) => name !== "" && cells.indexOf(name) < at));
  if (repeated.length > 0) {
    const list = repeated.slice(0, 8).map((name) => JSON.stringify(name));
    throw new UsageError(
      `${path}, line ${line}: the header names more than one column ${list.join(", ")}`,
      "Give each column its own name.",
    );
  }
  return cells;
}

/** The columns by which rows are read. Of those without a name, the first counts. */
function columnsOf(names: readonly string[]): string[] {
  return [...new Set(names)];
}

/** Turns the text of a row into the row, or says what is wrong with it. */
function rowReader(
  names: readonly string[],
  wanted: readonly string[] | null,
  separator: string,
): (row: CsvRow) => Row | string {
  const columns = columnsOf(names)
    .filter((name) => wanted === null || wanted.includes(name))
    .map((name): [name: string, at: number] => [name, names.indexOf(name)]);
  return (csvRow) => {
    if (csvRow.problem !== null) return csvRow.problem;
    const cells = cellsOf(csvRow, separator);
    if (cells.length !== names.length) {
      const count = cells.length === 1 ? "1 cell" : `${cells.length} cells`;
      return `has ${count}, but the header has ${names.length}`;
    }
    // Without a prototype, a column may have any name.
    const row = Object.create(null) as Row;
    for (const [name, at] of columns) row[name] = valueOf(cells[at] ?? "");
    return row;
  };
}

/** The value of a cell. It is a copy: a part of a text keeps the whole text in memory, which is that of many rows. */
function valueOf(cell: string): string | null {
  return cell === "" ? null : Buffer.from(cell).toString();
}

function empty(path: string): UsageError {
  return new UsageError(`${path} is empty`, "Its first line must name its columns.");
}
