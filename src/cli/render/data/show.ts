import type { ColumnProfile } from "../../../app/data/column-profiles.ts";
import type { DataShown } from "../../../app/data/show-data.ts";
import { type Column, renderTable } from "../table.ts";
import { counted, number, printableJson } from "../text.ts";

const MOST_FILES = 10;

const CHOSEN_BY = {
  fields: "with these columns",
  names: "by the names of the columns",
  lengths: "with the longest texts as inputs, because no column has a usual name",
} as const;

export function renderData(shown: DataShown, width: number): string {
  const { files, rows, bad_rows: bad, columns, has_more_columns: hasMore, data_config: config, chosen_by: by } = shown;
  const sections = [
    renderFiles(files, rows),
    columns.length === 0 ? "" : renderColumns(columns, width),
    hasMore ? `There are more columns than these ${columns.length}.` : "",
    bad.count === 0
      ? ""
      : [`${counted(bad.count, "row")} cannot be read:`, ...bad.first.map((row) => `  ${row}`)].join("\n"),
    config === null || by === null
      ? "No column holds texts only, so none can be the inputs."
      : `In a config, ${CHOSEN_BY[by]}:\n\n${renderConfig(config)}`,
    rows > 100 ? `A run takes the first 100 rows; "sample_size" takes more, "shuffle": true draws them at random.` : "",
  ];
  return sections.filter((section) => section !== "").join("\n\n");
}

function renderFiles(files: DataShown["files"], rows: number): string {
  const lines = files
    .slice(0, MOST_FILES)
    .map(({ path, format, rows: own }) => `${path}: ${format}, ${counted(own, "row")}`);
  const more = files.length - lines.length;
  if (more > 0) lines.push(`and ${counted(more, "more file")}`);
  if (files.length > 1) lines.push(`Together ${counted(rows, "row")}.`);
  return lines.join("\n");
}

function renderColumns(profiles: readonly ColumnProfile[], width: number): string {
  const columns: Column<ColumnProfile>[] = [
    { title: "COLUMN", value: ({ name }) => nameOf(name), rank: 0, least: 16 },
    { title: "TYPE", value: ({ type }) => type, rank: 1, least: 12 },
    { title: "FILLED", value: ({ filled }) => number(filled), align: "right", rank: 2 },
    {
      title: "MEAN CHARS",
      value: ({ mean_characters: mean }) => (mean === null ? "" : number(mean)),
      align: "right",
      rank: 3,
    },
    { title: "FIRST VALUE", value: ({ examples }) => examples[0] ?? "", rank: 4, least: 12 },
  ];
  return renderTable(columns, profiles, Math.min(width, WIDEST));
}

/** Examples are cut where lines have no limit, too. */
const WIDEST = 120;

/** A name whose ends could not be seen is shown in quotes. */
function nameOf(name: string): string {
  return name === name.trim() && name !== "" ? name : JSON.stringify(name);
}

/** The `data_config` to paste into a config. */
export function renderConfig({ input_data_path: path, fields }: NonNullable<DataShown["data_config"]>): string {
  const members = [`"input_data_path": ${inline(path)}`, ...(fields ? [`"fields": ${inline(fields)}`] : [])];
  return ['  "data_config": {', members.map((member) => `    ${member}`).join(",\n"), "  }"].join("\n");
}

/** JSON on one line, with blanks as in a text. */
function inline(value: string | null | readonly string[] | Readonly<Record<string, string | null>>): string {
  if (value === null) return "null";
  if (typeof value === "string") return printableJson(JSON.stringify(value));
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  return `{ ${Object.entries(value)
    .map(([name, text]) => `${inline(name)}: ${inline(text)}`)
    .join(", ")} }`;
}
