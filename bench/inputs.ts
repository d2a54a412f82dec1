import { createWriteStream, rmSync, statSync, writeFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { DATAGEN, Folder, median, type Run, run, type Server } from "./lab.ts";
import { writeParquet } from "./parquet.ts";
import { megabytes, type Row, seconds } from "./table.ts";
import { inputs } from "./workload.ts";

export interface InputSizes {
  rows: number;
  /** The rows that are sampled of long texts. */
  longRows: number;
  rounds: number;
}

const FORMATS = ["jsonl", "csv", "parquet"] as const;
type Format = (typeof FORMATS)[number];

const NAMES = ["id", "input", "reference"];
/** Texts that are used again and again. */
const TEXTS = inputs(1_000);
const LONG_CHARACTERS = 2_500;
/** The rows of a random sample. */
const SAMPLE = 200;
/** The exit code of a run that stops because its key is refused. */
const STOPPED = 3;
/** What the process may take. */
const MOST_MB = 300;

type CellAt = (at: number, column: string) => string;

const textAt = (at: number) => `Row ${at}: ${TEXTS[at % TEXTS.length]}`;

const cellAt: CellAt = (at, column) => {
  if (column === "id") return `row-${at}`;
  return column === "input" ? textAt(at) : `Reference ${at}: ${textAt(at).slice(0, 60)}`;
};

const longCellAt: CellAt = (at, column) => {
  if (column !== "input") return cellAt(at, column);
  const texts = Array.from({ length: 15 }, (_, part) => textAt(at * 7 + part * 31));
  return texts.join(" ").slice(0, LONG_CHARACTERS);
};

/**
 * Time and memory of `datagen run` up to its first request, which is refused. It draws a random sample, so it reads and
 * checks every row of its file.
 */
export async function measureInputs(server: Server, { rows, longRows, rounds }: InputSizes): Promise<Row[]> {
  using folder = new Folder();
  for (const format of FORMATS) await writeRows(folder.at(`rows.${format}`), format, rows);
  writeParquet(folder.at("long.parquet"), NAMES, longRows, longCellAt);
  await server.behave({ latencyMs: 0, answerBytes: 200, isRefusing: true });

  async function drawn(file: string): Promise<Run> {
    writeFileSync(folder.at("config.json"), JSON.stringify(configFor(folder.at(file))));
    for (const suffix of ["", "-wal", "-shm", "-lock"]) rmSync(folder.at("drawn.db") + suffix, { force: true });
    return await run([DATAGEN, "run", folder.at("config.json"), "--no-export", "--db", folder.at("drawn.db")], {
      cwd: folder.path,
      env: { OPENAI_API_KEY: "none", OPENAI_BASE_URL: server.url },
      codes: [STOPPED],
      withUsage: true,
    });
  }

  const measured: Record<Format, Run>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const jsonl = await drawn("rows.jsonl");
    measured.push({ jsonl, csv: await drawn("rows.csv"), parquet: await drawn("rows.parquet") });
  }
  const long = await drawn("long.parquet");
  const what = `planning ${SAMPLE} random ones of ${rows.toLocaleString("en")} rows of`;
  const size = megabytes(statSync(folder.at("long.parquet")).size);
  return [
    ...compared(what, "CSV", measured, ({ csv }) => csv),
    ...compared(what, "Parquet", measured, ({ parquet }) => parquet),
    memoryRow(
      `the same of ${longRows.toLocaleString("en")} rows of ${LONG_CHARACTERS.toLocaleString("en")} characters, in one row group of Parquet (${size}): memory`,
      long.peakMb,
    ),
  ];
}

/** A format compared with JSON Lines. */
function compared(
  what: string,
  name: string,
  rounds: readonly Record<Format, Run>[],
  of: (round: Record<Format, Run>) => Run,
): Row[] {
  return [
    {
      what: `${what} ${name}: time`,
      datagen: seconds(median(rounds.map((round) => of(round).wallMs))),
      other: `JSON Lines: ${seconds(median(rounds.map(({ jsonl }) => jsonl.wallMs)))}`,
      ratio: { value: median(rounds.map((round) => of(round).wallMs / round.jsonl.wallMs)), atMost: 1.5 },
    },
    memoryRow("the same: memory", Math.max(...rounds.map((round) => of(round).peakMb))),
  ];
}

function memoryRow(what: string, peakMb: number): Row {
  return {
    what,
    datagen: `${peakMb.toFixed(0)} MB`,
    other: `${MOST_MB} MB`,
    ratio: { value: peakMb / MOST_MB, atMost: 1 },
  };
}

function configFor(path: string): unknown {
  return {
    task_type: "summarization",
    task_description: "Rows of a file",
    api_provider: "openai",
    model_config: { model_name: "gpt-4o-mini", max_tokens: 500, temperature: 0.7 },
    agent_perspectives: [{ condition: "Short", reading: null, strategy: "Write a short summary of the text." }],
    data_config: {
      input_data_path: path,
      fields: { input: "input", reference: "reference", id: "id" },
      shuffle: true,
      seed: 1,
      sample_size: SAMPLE,
    },
  };
}

async function writeRows(path: string, format: Format, count: number): Promise<void> {
  if (format === "parquet") {
    writeParquet(path, NAMES, count, cellAt);
    return;
  }
  const quoted = (cell: string) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  function* lines(): Generator<string> {
    if (format === "csv") yield `${NAMES.join(",")}\n`;
    for (let at = 0; at < count; at += 1) {
      const cells = NAMES.map((name) => [name, cellAt(at, name)] as const);
      yield format === "csv"
        ? `${cells.map(([, cell]) => quoted(cell)).join(",")}\n`
        : `${JSON.stringify(Object.fromEntries(cells))}\n`;
    }
  }
  await pipeline(lines(), createWriteStream(path));
}
