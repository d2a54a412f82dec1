import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { canonicalJson } from "../plan/settings.ts";
import type { Render, RunRows } from "./renderer.ts";
import { type ColumnType, type RowColumn, rowColumns, type TypedRow, typedRows } from "./row-columns.ts";

/** A row group has at most so many rows, and ends with the row that brings its texts to so many characters. */
const GROUP_ROWS = 10_000;
const GROUP_CHARACTERS = 4_000_000;

/** A column with a longer text has no least and no largest value in its row group: both are in memory until the end. */
const LONGEST_BOUND = 256;

/** The physical and the logical types of columns. */
const ELEMENTS = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  integer: { type: "INT64" },
  real: { type: "DOUBLE" },
} as const satisfies Record<ColumnType, object>;

/** One file with the rows of all runs. */
export const renderParquet: Render = function* renderParquet(runs, { scores }) {
  using rows = lookAhead(typedRows(runs, scores));
  yield* parquetFile(runs, rowColumns(runs, scores), rows);
};

/** Rows that are taken one after the other, of which the next can be looked at. */
export interface RowsAhead extends Disposable {
  /** The next row, without taking it; undefined at the end. */
  readonly next: TypedRow | undefined;
  take(): void;
}

export function lookAhead(rows: Generator<TypedRow>): RowsAhead {
  let next: TypedRow | undefined;
  const take = () => {
    const result = rows.next();
    next = result.done ? undefined : result.value;
  };
  take();
  return {
    get next() {
      return next;
    },
    take,
    [Symbol.dispose]: () => void rows.return(undefined),
  };
}

/**
 * Takes rows into a file until there are no more, or until it has so many bytes. Its metadata describes the runs.
 * @returns how many rows it has
 */
export function* parquetFile(
  runs: readonly RunRows[],
  columns: readonly RowColumn[],
  rows: RowsAhead,
  mostBytes = Infinity,
): Generator<Uint8Array, number> {
  const writer = new ByteWriter();
  const schema = columns.map(({ name, type }) => ({ name, ...ELEMENTS[type], repetition_type: "OPTIONAL" as const }));
  const file = new ParquetWriter({
    writer,
    schema: [{ name: "schema", num_children: columns.length }, ...schema],
    kvMetadata: metadataOf(runs),
    createdBy: "datagen",
  });
  let count = 0;
  while (rows.next !== undefined && writer.offset < mostBytes) {
    const columnData = nextGroup(columns, rows);
    count += columnData[0]?.data.length ?? 0;
    void file.write({ columnData, rowGroupSize: GROUP_ROWS });
    yield taken(writer);
  }
  void file.finish();
  yield taken(writer);
  return count;
}

interface GroupColumn {
  name: string;
  data: unknown[];
  statistics: boolean;
}

function nextGroup(columns: readonly RowColumn[], rows: RowsAhead): GroupColumn[] {
  const group = columns.map((column) => ({ ...column, data: [] as unknown[], statistics: true }));
  let count = 0;
  let characters = 0;
  for (let row = rows.next; row !== undefined; row = rows.next) {
    for (const column of group) {
      const value = row[column.name] ?? null;
      column.data.push(value === null ? null : valueOf(value, column.type));
      if (typeof value !== "string") continue;
      characters += value.length;
      if (value.length > LONGEST_BOUND) column.statistics = false;
    }
    rows.take();
    count += 1;
    if (count >= GROUP_ROWS || characters >= GROUP_CHARACTERS) break;
  }
  return group.map(({ name, data, statistics }) => ({ name, data, statistics }));
}

function valueOf(value: string | number, type: ColumnType): string | number | bigint {
  if (type === "integer") return BigInt(value);
  return type === "text" ? String(value) : value;
}

/** The bytes that were written since the last time. */
function taken(writer: ByteWriter): Uint8Array {
  const bytes = writer.getBytes().slice();
  writer.index = 0;
  return bytes;
}

/** The ids come last: `isDataset` reads them at the end of the file. */
function metadataOf(runs: readonly RunRows[]): { key: string; value: string }[] {
  const described = runs.map(({ run }) => ({
    run_id: run.publicId,
    run_name: run.name,
    provider: run.provider,
    model: run.model,
    config: run.config,
    input_sha256: run.inputSha256 || null,
    sources: run.sources,
    shard: run.part ?? undefined,
    replicate: run.replicate,
    datagen_version: run.toolVersion,
    git_commit: run.gitCommit,
  }));
  return [
    { key: "datagen.runs", value: canonicalJson(described) },
    { key: "datagen.run_ids", value: JSON.stringify(runs.map(({ run }) => run.publicId)) },
  ];
}
