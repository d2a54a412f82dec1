import type { SuspectAnswer } from "../../app/stats/find-suspects.ts";
import type { ModelStatistics, RunStatistics } from "../../app/stats/run-statistics.ts";
import { csvLine } from "../../export/csv.ts";
import type { Difference, Figure, GroupStatistics, ScoreSpread } from "../../stats/statistics.ts";
import { GROUP_FIGURES } from "../../stats/sums.ts";
import { type Column, linesOrNone, renderTable } from "./table.ts";
import { latency, money, number } from "./text.ts";

type By = "condition" | "kind" | "model";

/** How many differences the tables show. */
const SHOWN_DIFFERENCES = 10;

/** The figures of a run, as tables. */
export function renderRun(statistics: RunStatistics, by: By, width: number): string {
  const groups = by === "kind" ? statistics.kinds : statistics.conditions;
  return [
    `Run ${statistics.run}`,
    ...groupTables(groups, by, width),
    ...scoreTable(groups, by, width),
    ...differenceTable(statistics.differences, width),
    ...similarityTable(statistics.similarity, width),
    FOOT,
  ].join("\n\n");
}

/** The figures of models, as tables. */
export function renderModels({ runs, models, differences }: ModelStatistics, width: number): string {
  return [
    `${runs.length === 1 ? "Run" : "Runs"} ${runs.join(", ")}`,
    ...groupTables(models, "model", width),
    ...scoreTable(models, "model", width),
    ...differenceTable(differences, width),
    FOOT,
  ].join("\n\n");
}

/**
 * The figures of the texts of several runs, as tables with a line for each run under each condition.
 * @param runs what each run is called, and its figures
 */
export function renderSideBySide(runs: readonly { name: string; statistics: RunStatistics }[], width: number): string {
  type Line = { condition: string; run: string; isFirst: boolean; group: GroupStatistics };
  const conditions = new Set(runs.flatMap(({ statistics }) => statistics.conditions.map(nameOf)));
  const lines = [...conditions].flatMap((condition) =>
    runs.flatMap(({ name, statistics }): Omit<Line, "isFirst">[] => {
      const group = statistics.conditions.find((one) => nameOf(one) === condition);
      return group ? [{ condition, run: name, group }] : [];
    }),
  );
  const rows = lines.map((line, at): Line => ({ ...line, isFirst: lines[at - 1]?.condition !== line.condition }));
  const first: Column<Line>[] = [
    { title: "CONDITION", value: ({ condition, isFirst }) => (isFirst ? condition : ""), rank: 0, least: 14 },
    { title: "", value: ({ run }) => run, rank: 0 },
  ];
  const tables = [LENGTHS, SCORES].flatMap((columns) => {
    const shown = columns.filter(({ value }) => rows.some(({ group }) => value(group) !== ""));
    const own = shown.map((one): Column<Line> => ({ ...one, value: ({ group }) => one.value(group) }));
    return shown.length === 0 ? [] : [renderTable([...first, ...own], rows, width)];
  });
  return [...tables, FOOT].join("\n\n");
}

const FOOT = "± is half of the 95% interval. --json has all figures, and how they were made.";

function groupTables(groups: readonly GroupStatistics[], by: By, width: number): string[] {
  const name: Column<GroupStatistics> = {
    title: by.toUpperCase(),
    value: (group) => nameOf(group),
    rank: 0,
    least: 14,
  };
  return [COUNTS, LENGTHS, SCORES].flatMap((columns) => {
    const shown = columns.filter(({ value }) => groups.some((group) => value(group) !== ""));
    return shown.length === 0 ? [] : [renderTable([name, ...shown], groups, width)];
  });
}

type Shown = Column<GroupStatistics>;

function column(title: string, rank: number, value: (group: GroupStatistics) => string): Shown {
  return { title, value, align: "right", rank };
}

const COUNTS: readonly Shown[] = [
  column("ANSWERS", 0, ({ n }) => number(n)),
  column("FAILED", 1, ({ failed }) => number(Object.values(failed).reduce((sum, count) => sum + count, 0))),
  column("REFUSED", 3, ({ failed }) => number(refusals(failed))),
  column("CUT", 2, ({ truncated }) => number(truncated)),
  column("REUSED", 4, ({ reused }) => number(reused)),
  column("MEDIAN", 2, ({ latency_ms: { median } }) => (median === null ? "" : latency(median))),
  column("P95", 3, ({ latency_ms: { p95 } }) => (p95 === null ? "" : latency(p95))),
  column("COST", 1, ({ cost_usd: cost }) => money(cost)),
];

const LENGTHS: readonly Shown[] = [
  column("WORDS", 0, ({ words }) => rounded(words.mean, 1)),
  column("SD", 4, ({ words }) => rounded(words.sd, 1)),
  column("SENTENCES", 6, ({ sentences }) => rounded(sentences.mean, 1)),
  column("RATIO", 1, (group) => valueOf(group.compression_ratio, 2)),
  column("GZIP", 3, (group) => valueOf(group.redundancy, 2)),
  column("DIST-2", 1, (group) => valueOf(group.distinct2, 3)),
  column("REPEAT", 3, (group) => valueOf(group.self_repetition, 3)),
  column("SELF-BLEU", 2, (group) => valueOf(group.self_bleu, 1)),
  column("SAME", 2, ({ duplicates: { within } }) => number(within)),
  column("NEAR", 2, ({ duplicates: { near_within: near } }) => number(near)),
  column("AGREE", 2, (group) => valueOf(group.replicate_agreement, 1)),
];

const SCORES: readonly Shown[] = [
  column("COVER", 2, (group) => valueOf(group.coverage, 2)),
  column("DENSITY", 5, (group) => valueOf(group.density, 2)),
  column("NOVEL-2", 3, (group) => valueOf(group.novel2, 2)),
  column("BLEU", 1, (group) => withMargin(group.bleu, 1)),
  column("CHRF", 0, (group) => withMargin(group.chrf, 1)),
  column("ROUGE-1", 4, (group) => valueOf(group.rouge1, 3)),
  column("ROUGE-2", 4, (group) => valueOf(group.rouge2, 3)),
  column("ROUGE-L", 1, (group) => withMargin(group.rougeL, 3)),
];

/** The scores that were imported. */
function scoreTable(groups: readonly GroupStatistics[], by: By, width: number): string[] {
  const rows = groups.flatMap((group) =>
    Object.entries(group.scores ?? {}).map(([score, spread]) => ({ group: nameOf(group), score, ...spread })),
  );
  if (rows.length === 0) return [];
  type Row = (typeof rows)[number];
  const spread = (title: string, rank: number, value: (row: Row) => number | null): Column<Row> => ({
    title,
    value: (row) => rounded(value(row), 3),
    align: "right",
    rank,
  });
  return [
    renderTable<Row>(
      [
        { title: by.toUpperCase(), value: ({ group }) => group, rank: 0, least: 14 },
        { title: "SCORE", value: ({ score }) => score, rank: 0, least: 10 },
        { title: "ANSWERS", value: ({ n }) => number(n), align: "right", rank: 1 },
        spread("MEAN", 0, ({ mean }) => mean),
        spread("SD", 1, ({ sd }) => sd),
        spread("Q1", 2, ({ q1 }) => q1),
        spread("MEDIAN", 1, ({ median }) => median),
        spread("Q3", 2, ({ q3 }) => q3),
      ],
      rows,
      width,
    ),
  ];
}

function differenceTable(differences: readonly Difference[], width: number): string[] {
  // If the means differ and neither group varies, no difference is larger.
  const size = ({ d, mean_difference: { value } }: Difference) => (d === null && value !== 0 ? 1e9 : Math.abs(d ?? 0));
  const largest = differences.toSorted((one, other) => size(other) - size(one)).slice(0, SHOWN_DIFFERENCES);
  if (largest.length === 0) return [];
  return [
    renderTable<Difference>(
      [
        { title: "A", value: ({ a }) => a, rank: 0, least: 12 },
        { title: "B", value: ({ b }) => b, rank: 0, least: 12 },
        { title: "LARGEST", value: ({ figure }) => figure, rank: 0 },
        { title: "D", value: ({ d }) => rounded(d, 2), align: "right", rank: 0 },
        { title: "AUC", value: ({ auc }) => rounded(auc, 2), align: "right", rank: 1 },
        { title: "A − B", value: (each) => withMargin(each.mean_difference, 2), align: "right", rank: 0 },
      ],
      largest,
      width,
    ),
  ];
}

function similarityTable({ conditions, chrf }: RunStatistics["similarity"], width: number): string[] {
  if (conditions.length < 2) return [];
  const columns = conditions.map((_, at): Column<number> => ({
    title: String(at + 1),
    value: (row) => rounded(chrf[row]?.[at] ?? null, 0),
    align: "right",
    rank: at + 1,
  }));
  const name: Column<number> = {
    title: "CHRF BETWEEN",
    value: (row) => `${row + 1} ${conditions[row]}`,
    rank: 0,
    least: 16,
  };
  return [renderTable([name, ...columns], [...conditions.keys()], width)];
}

/** Answers that the model or the provider refused. */
function refusals(failed: Readonly<Record<string, number>>): number {
  const refused = /(?:^|: )(?:refusal|content_filter|content_policy)$/;
  return Object.entries(failed).reduce((sum, [reason, count]) => (refused.test(reason) ? sum + count : sum), 0);
}

function nameOf({ condition, kind, model }: GroupStatistics): string {
  return condition ?? kind ?? model ?? "";
}

function rounded(value: number | null, digits: number): string {
  return value === null ? "" : value.toFixed(digits);
}

function valueOf(figure: Figure | null, digits: number): string {
  return rounded(figure?.value ?? null, digits);
}

function withMargin(figure: Figure | null, digits: number): string {
  if (figure === null || figure.low === null || figure.high === null) return valueOf(figure, digits);
  return `${valueOf(figure, digits)} ±${((figure.high - figure.low) / 2).toFixed(digits)}`;
}

/** A line for each group, with the names of JSON joined by underscores, and without signatures. Spreadsheets open it. */
export function* csvOf(statistics: readonly (RunStatistics | ModelStatistics)[], by: By): Generator<string> {
  let isFirst = true;
  const groupsOf = (each: RunStatistics | ModelStatistics) =>
    "models" in each ? each.models : by === "kind" ? each.kinds : each.conditions;
  const names = new Set(statistics.flatMap((each) => groupsOf(each).flatMap(({ scores = {} }) => Object.keys(scores))));
  for (const each of statistics) {
    const runs = "models" in each ? each.runs.join(" ") : each.run;
    for (const group of groupsOf(each)) {
      const { condition: _, kind: __, model: ___, failed, scores = {}, ...figures } = group;
      const row = {
        run: runs,
        [by]: nameOf(group),
        ...flat({ ...figures, failed: reasonsOf(failed) }),
        ...Object.fromEntries([...names].flatMap((name) => scoreFields(name, scores[name]))),
      };
      if (isFirst) yield withoutBreak(csvLine(Object.keys(row), false));
      isFirst = false;
      yield withoutBreak(csvLine(Object.values(row), true));
    }
  }
}

/** The fields of a score; they are empty if a group has none. */
function scoreFields(name: string, spread: ScoreSpread | undefined): [string, number | null][] {
  const parts = ["n", "mean", "sd", "min", "q1", "median", "q3", "max"] as const;
  return parts.map((part) => [`scores_${name}_${part}`, spread?.[part] ?? null]);
}

function reasonsOf(failed: Readonly<Record<string, number>>): string {
  return Object.entries(failed)
    .map(([reason, count]) => `${reason} ${count}`)
    .join("; ");
}

/** The members of a group that are figures with an interval, or null. */
const OF_FIGURES = new Set<string>([...GROUP_FIGURES, "redundancy", "distinct1", "distinct2"]);

function flat(group: object): Record<string, string | number | null> {
  const row: Record<string, string | number | null> = {};
  for (const [name, value] of Object.entries(group) as [string, unknown][]) {
    if (OF_FIGURES.has(name)) {
      const figure = value as Figure | null;
      row[name] = figure?.value ?? null;
      row[`${name}_low`] = figure?.low ?? null;
      row[`${name}_high`] = figure?.high ?? null;
    } else if (typeof value === "object" && value !== null) {
      for (const [part, inside] of Object.entries(value)) row[`${name}_${part}`] = inside as number | null;
    } else row[name] = value as string | number | null;
  }
  return row;
}

/** Lines are ended where they are printed. */
function withoutBreak(line: string): string {
  return line.replace(/\r\n$/, "");
}

/** Answers to look at, as the lines of a table. */
export function* suspectLines(suspects: Iterable<SuspectAnswer>, width: number): Generator<string> {
  yield* linesOrNone<SuspectAnswer>(
    "No answer looks wrong.",
    [
      { title: "RUN", value: ({ run }) => run, rank: 3 },
      { title: "INPUT", value: ({ task }) => String(task), align: "right", rank: 0 },
      { title: "CONDITION", value: ({ condition }) => condition, rank: 0, least: 12 },
      { title: "SAMPLE", value: ({ replicate }) => String(replicate), align: "right", rank: 2 },
      { title: "WHY", value: ({ reasons }) => reasons.join(", "), rank: 0, least: 12 },
      { title: "ANSWER", value: ({ response }) => response.slice(0, 200), rank: 1, least: 16 },
    ],
    suspects,
    width,
  );
}

/** Answers to look at, as CSV, which spreadsheets open. */
export function* suspectCsv(suspects: Iterable<SuspectAnswer>): Generator<string> {
  const names = ["run", "task", "id", "condition", "replicate", "reasons", "response"] as const;
  yield withoutBreak(csvLine(names, false));
  for (const suspect of suspects) {
    const fields = names.map((name) => (name === "reasons" ? suspect.reasons.join("; ") : suspect[name]));
    yield withoutBreak(csvLine(fields, true));
  }
}
