import type { ConfigValues } from "../../app/diff/config-differences.ts";
import type {
  ConditionComparison,
  DifferentResponses,
  RunInputs,
  SeveralRunsDiff,
} from "../../app/diff/diff-several-runs.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { sideBySide, widthOfTexts, wrap } from "./columns.ts";
import { modelOf, tokensOf } from "./lines.ts";
import { type Column, cut, renderTable } from "./table.ts";
import { counted, latency, minuteOf, money, number, oneLine, printable } from "./text.ts";

/** The least useful width of a text beside others. Two always stand side by side. */
const LEAST_TEXT_WIDTH = 40;

const MOST_INPUT_LINES = 4;

/** With more than two runs, how many of the inputs to show that not all of them have. */
const FEW_EXAMPLES = 3;

/** With more than two runs, how much of a model's name to show, even if other columns are left out. */
const LEAST_MODEL_WIDTH = 40;

/** How many characters to show before the first difference of two values. */
const LEAD = 20;

/** Two or more runs compared, no wider than `width`. The runs are called A, B, C and so on. */
export function renderDiff(diff: SeveralRunsDiff, width: number): string {
  const { runs, config, inputs, conditions, most_different: responses } = diff;
  const textWidth = widthOfTexts(width);
  const isPair = runs.length === 2;
  const sections = [
    [renderRuns(runs, width)],
    [
      ...(isPair && runs[0]?.id === runs[1]?.id ? ["A and B are the same run."] : []),
      `${isPair ? "Both" : "All"} have ${counted(inputs.all, "input")} and ${counted(conditions.all.length, "condition")}.`,
      ...(inputs.changed === undefined
        ? []
        : [`Inputs are matched by their ids; ${inputs.changed} have different texts.`]),
      ...(isPair ? renderInputsOfPair(inputs.some, textWidth) : renderInputsOfSome(inputs.some, textWidth)),
      ...renderConditionsOfSome(diff, textWidth),
    ],
    config.length === 0
      ? [
          conditions.some.length === 0
            ? "The configs are the same."
            : "Apart from their conditions, the configs are the same.",
        ]
      : [
          "The configs differ:",
          ...config.flatMap((values) =>
            isPair ? renderPairOfValues(values, textWidth) : renderValues(values, textWidth),
          ),
        ],
    conditions.all.some(({ cells }) => cells > 0)
      ? [renderConditions(conditions.all, isPair, width)]
      : ["No response can be compared."],
    ...(responses === undefined ? [] : renderMostDifferent(responses, isPair, textWidth)),
  ];
  return sections.map((lines) => lines.join("\n")).join("\n\n");
}

/** What a run is called. */
export function letter(at: number): string {
  return String.fromCodePoint(65 + at);
}

function letters(runs: readonly number[]): string {
  return runs.map(letter).join(", ");
}

/** Runs as a part of a sentence: `A, B and C`. */
function named(runs: readonly number[]): string {
  return new Intl.ListFormat("en-GB").format(runs.map(letter));
}

function renderRuns(runs: readonly RunSummary[], width: number): string {
  const columns: Column<RunSummary & { at: number }>[] = [
    { title: "", value: ({ at }) => letter(at), rank: 0 },
    { title: "RUN", value: ({ id }) => id, rank: 0 },
    { title: "NAME", value: ({ name }) => name ?? "", rank: 5, least: 8 },
    { title: "STATUS", value: ({ status }) => status, rank: 2 },
    runs.length === 2
      ? { title: "MODEL", value: modelOf, rank: 1, least: 12 }
      : { title: "MODEL", value: modelOf, rank: 0, least: LEAST_MODEL_WIDTH },
    { title: "INPUTS", value: ({ tasks }) => number(tasks), align: "right", rank: 3 },
    { title: "CALLS", value: ({ calls }) => `${calls.succeeded}/${calls.total}`, align: "right", rank: 1 },
    { title: "TOKENS", value: ({ tokens }) => tokensOf(tokens.total, tokens.estimated), align: "right", rank: 1 },
    { title: "COST", value: (run) => money(run.cost_usd), align: "right", rank: 1 },
    { title: "CREATED (UTC)", value: (run) => minuteOf(run.created_at), rank: 4 },
  ];
  const isNamed = runs.some(({ name }) => name !== null);
  return renderTable(
    columns.filter(({ title }) => title !== "NAME" || isNamed),
    runs.map((run, at) => ({ at, ...run })),
    width,
  );
}

function renderInputsOfPair(sides: readonly RunInputs[], width: number): string[] {
  return sides.flatMap(({ count, examples }, at) =>
    count === 0
      ? []
      : [`Only ${letter(at)} has ${counted(count, "input")}:`, ...renderExamples(count, examples, width)],
  );
}

/** Runs with the same number of such inputs, and with the same examples, stand together. */
function renderInputsOfSome(some: readonly RunInputs[], width: number): string[] {
  const groups = Map.groupBy(some.keys(), (at) => JSON.stringify([some[at]?.count, some[at]?.examples]));
  return [...groups.values()].flatMap((runs) => {
    const { count = 0, examples = [] } = some[runs[0] ?? 0] ?? {};
    if (count === 0) return [];
    const have = runs.length === 1 ? "has" : "each have";
    return [
      ...wrap(`${named(runs)} ${have} ${counted(count, "input")} that not all runs have:`, width),
      ...renderExamples(count, examples.slice(0, FEW_EXAMPLES), width),
    ];
  });
}

function renderExamples(count: number, examples: RunInputs["examples"], width: number): string[] {
  const rest = count - examples.length;
  return [
    ...examples.map(({ task, input }) => cut(`  row ${task}: ${oneLine(input)}`, width)),
    ...(rest > 0 ? [`  and ${number(rest)} more`] : []),
  ];
}

function renderConditionsOfSome({ runs, conditions: { some } }: SeveralRunsDiff, width: number): string[] {
  const placesOf = (owners: readonly string[]) => [...runs.keys()].filter((at) => owners.includes(runs[at]?.id ?? ""));
  const groups = Map.groupBy(some, ({ runs: owners }) => named(placesOf(owners)));
  return [...groups].flatMap(([owners, list]) => {
    const names = list.map(({ condition }) => condition).join(", ");
    const verb = list[0]?.runs.length === 1 ? "has" : "have";
    return wrap(`Only ${owners} ${verb} ${counted(list.length, "condition")}: ${names}`, width);
  });
}

function renderPairOfValues({ path, values }: ConfigValues, width: number): string[] {
  const [a = "", b = ""] = values.map(shown);
  const line = `  ${printable(path)}: ${a} -> ${b}`;
  return cut(line, width) === line ? [line] : renderValues({ path, values }, width, " ");
}

/** A line for each different value, with the runs that have it. */
function renderValues({ path, values }: ConfigValues, width: number, after = ": "): string[] {
  const owners = Map.groupBy(values.keys(), (at) => shown(values[at]));
  const from = sharedStart([...owners.keys()]) - LEAD;
  const partOf = (value: string) => (from > 0 ? `…${[...value].slice(from).join("")}` : value);
  return [
    `  ${printable(path)}:`,
    ...[...owners].map(([value, runs]) => cut(`    ${letters(runs)}${after}${partOf(value)}`, width)),
  ];
}

/** How many characters all texts begin with. */
function sharedStart([first = "", ...others]: readonly string[]): number {
  const symbols = [...first];
  const shared = others.map((other) => {
    const own = [...other];
    const place = symbols.findIndex((symbol, at) => symbol !== own[at]);
    return place === -1 ? symbols.length : place;
  });
  return Math.min(...shared);
}

function shown(value: unknown): string {
  return value === undefined ? "(not set)" : printable(JSON.stringify(value));
}

function renderConditions(conditions: readonly ConditionComparison[], isPair: boolean, width: number): string {
  const rows = conditions.flatMap(({ runs, ...comparison }) =>
    runs.map((figures, at) => ({ ...comparison, ...figures, at })),
  );
  type Row = (typeof rows)[number];
  const once = (value: (row: Row) => string) => (row: Row) => (row.at === 0 ? value(row) : "");
  const about = ({ tokens }: Row) => (tokens.estimated ? "~" : "");
  const sameAsFirst = (row: Row) => (row.at === 0 ? "" : percent(row.identical_to_first_share));
  const columns: Column<Row>[] = [
    { title: "CONDITION", value: once(({ condition }) => condition), rank: 0, least: 12 },
    { title: "", value: ({ at }) => letter(at), rank: 0 },
    { title: "COMPARED", value: once(comparedOf), align: "right", rank: 0 },
    isPair
      ? { title: "SAME", value: once((row) => percent(row.identical_share)), align: "right", rank: 0 }
      : { title: "SAME AS A", value: sameAsFirst, align: "right", rank: 0 },
    { title: "CHARS", value: (row) => rounded(row.mean_characters), align: "right", rank: 1 },
    { title: "TOKENS", value: (row) => about(row) + rounded(row.mean_completion_tokens), align: "right", rank: 0 },
    { title: "PROMPT", value: (row) => about(row) + unknownOr(row.tokens.prompt), align: "right", rank: 3 },
    { title: "COST", value: (row) => money(row.cost_usd), align: "right", rank: 2 },
    {
      title: "LATENCY",
      value: ({ median_latency_ms: ms }) => (ms === null ? "-" : latency(ms)),
      align: "right",
      rank: 2,
    },
    { title: "CUT", value: ({ truncated }) => number(truncated), align: "right", rank: 0 },
    { title: "FAILED", value: ({ failed }) => number(failed), align: "right", rank: 0 },
    { title: "PENDING", value: ({ pending }) => number(pending), align: "right", rank: 0 },
  ];
  const isEmpty: Record<string, boolean> = {
    CUT: rows.every(({ truncated }) => truncated === 0),
    FAILED: rows.every(({ failed }) => failed === 0),
    PENDING: rows.every(({ pending }) => pending === 0),
  };
  return renderTable(
    columns.filter(({ title }) => !isEmpty[title]),
    rows,
    width,
  );
}

function comparedOf({ compared, cells }: Pick<ConditionComparison, "compared" | "cells">): string {
  return compared === cells ? number(cells) : `${number(compared)}/${number(cells)}`;
}

function renderMostDifferent(list: readonly DifferentResponses[], isPair: boolean, width: number): string[][] {
  if (list.length === 0) return [[isPair ? "No two responses differ." : "No responses differ."]];
  const [one, several] = isPair
    ? ["The pair of responses that differs most:", "pairs of responses that differ most:"]
    : ["The responses that differ most:", "inputs and conditions whose responses differ most:"];
  return [
    [list.length === 1 ? one : `The ${number(list.length)} ${several}`],
    ...list.map((each, at) => renderResponses(each, at + 1, isPair, width)),
  ];
}

function renderResponses(each: DifferentResponses, place: number, isPair: boolean, width: number): string[] {
  const { condition, replicate, tasks, reference, difference } = each;
  const facts = [
    oneLine(condition),
    ...(replicate > 1 ? [`replicate ${replicate}`] : []),
    rowsOf(tasks),
    `${isPair ? "" : "mean "}difference ${difference.toFixed(2)}`,
  ];
  const input = wrap(`Input: ${each.context}`, width);
  const texts = [...Map.groupBy(each.responses.keys(), (at) => each.responses[at] ?? "")].map(([text, runs]) => {
    return { title: letters(runs), text };
  });
  const columns = Math.max(2, Math.floor(width / LEAST_TEXT_WIDTH));
  const isBeside = reference !== null && texts.length < columns;
  return [
    ...wrap(`${place}. ${facts.join(", ")}`, width),
    ...input.slice(0, MOST_INPUT_LINES),
    ...(input.length > MOST_INPUT_LINES ? ["…"] : []),
    ...(reference !== null && !isBeside ? wrap(`Reference: ${reference}`, width) : []),
    ...inLines(isBeside ? [{ title: "Reference", text: reference }, ...texts] : texts, columns).flatMap((line) => [
      "",
      ...sideBySide(line, width),
    ]),
  ];
}

/** The rows of one input in the files of all runs. */
function rowsOf(tasks: readonly number[]): string {
  const owners = [...Map.groupBy(tasks.keys(), (at) => tasks[at])];
  if (owners.length === 1) return `row ${tasks[0]}`;
  return `row ${new Intl.ListFormat("en-GB").format(owners.map(([task, runs]) => `${task} of ${letters(runs)}`))}`;
}

/** Members in lines of at most `most`, of about the same length. */
function inLines<T>(members: readonly T[], most: number): T[][] {
  const each = Math.ceil(members.length / Math.ceil(members.length / most));
  return Array.from({ length: Math.ceil(members.length / each) }, (_, at) => members.slice(at * each, (at + 1) * each));
}

function percent(share: number | null): string {
  // 100% means all and 0% means none: a share in between is never rounded to either.
  if (share === null) return "-";
  return `${share > 0.99 && share < 1 ? 99 : share > 0 && share < 0.01 ? 1 : Math.round(share * 100)}%`;
}

function rounded(value: number | null): string {
  if (value === null) return "-";
  return value < 100 ? value.toFixed(1) : number(Math.round(value));
}

function unknownOr(value: number | null): string {
  return value === null ? "unknown" : number(value);
}
