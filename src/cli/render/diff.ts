import type { ConfigDifference } from "../../app/diff/config-differences.ts";
import type { ConditionDiff, DifferentPair, LoneInputs, RunDiff } from "../../app/diff/diff-runs.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { sideBySide, widthOfTexts, wrap } from "./columns.ts";
import { modelOf, tokensOf } from "./lines.ts";
import { type Column, cut, renderTable } from "./table.ts";
import { counted, latency, money, number, oneLine, printable } from "./text.ts";

/** From this width on, three texts fit side by side. */
const WIDTH_OF_THREE = 120;

const MOST_INPUT_LINES = 4;

/** How many characters to show before the first difference of two values. */
const LEAD = 20;

/** Two runs compared, no wider than `width`. */
export function renderDiff(diff: RunDiff, width: number): string {
  const { a, b, config, inputs, conditions, most_different: pairs } = diff;
  const textWidth = widthOfTexts(width);
  const only = (run: string, list: readonly string[]) =>
    list.length === 0
      ? []
      : wrap(`Only ${run} has ${counted(list.length, "condition")}: ${list.join(", ")}`, textWidth);
  const sections = [
    [renderSides(a, b, width)],
    [
      ...(a.id === b.id ? ["A and B are the same run."] : []),
      `Both have ${counted(inputs.both, "input")} and ${counted(conditions.both.length, "condition")}.`,
      ...(inputs.changed === undefined
        ? []
        : [`Inputs are matched by their ids; ${inputs.changed} have different texts.`]),
      ...renderLone("A", inputs.only_a, textWidth),
      ...renderLone("B", inputs.only_b, textWidth),
      ...only("A", conditions.only_a),
      ...only("B", conditions.only_b),
    ],
    config.length === 0
      ? [
          conditions.only_a.length + conditions.only_b.length === 0
            ? "The configs are the same."
            : "Apart from their conditions, the configs are the same.",
        ]
      : ["The configs differ:", ...config.flatMap((difference) => renderDifference(difference, textWidth))],
    conditions.both.some(({ cells }) => cells > 0)
      ? [renderConditions(conditions.both, width)]
      : ["No response can be compared."],
    ...(pairs === undefined ? [] : renderPairs(pairs, textWidth)),
  ];
  return sections.map((lines) => lines.join("\n")).join("\n\n");
}

function renderSides(a: RunSummary, b: RunSummary, width: number): string {
  const sides = [
    { side: "A", ...a },
    { side: "B", ...b },
  ];
  const columns: Column<(typeof sides)[number]>[] = [
    { title: "", value: ({ side }) => side, rank: 0 },
    { title: "RUN", value: ({ id }) => id, rank: 0 },
    { title: "NAME", value: ({ name }) => name ?? "", rank: 5, least: 8 },
    { title: "STATUS", value: ({ status }) => status, rank: 2 },
    { title: "MODEL", value: modelOf, rank: 1, least: 12 },
    { title: "INPUTS", value: ({ tasks }) => number(tasks), align: "right", rank: 3 },
    { title: "CALLS", value: ({ calls }) => `${calls.succeeded}/${calls.total}`, align: "right", rank: 1 },
    { title: "TOKENS", value: ({ tokens }) => tokensOf(tokens.total, tokens.estimated), align: "right", rank: 1 },
    { title: "COST", value: (run) => money(run.cost_usd), align: "right", rank: 1 },
    { title: "CREATED (UTC)", value: (run) => run.created_at.slice(0, 16).replace("T", " "), rank: 4 },
  ];
  const isNamed = a.name !== null || b.name !== null;
  return renderTable(
    columns.filter(({ title }) => title !== "NAME" || isNamed),
    sides,
    width,
  );
}

function renderLone(run: string, { count, examples }: LoneInputs, width: number): string[] {
  if (count === 0) return [];
  const rest = count - examples.length;
  return [
    `Only ${run} has ${counted(count, "input")}:`,
    ...examples.map(({ task, input }) => cut(`  row ${task}: ${oneLine(input)}`, width)),
    ...(rest > 0 ? [`  and ${number(rest)} more`] : []),
  ];
}

function renderDifference(difference: ConfigDifference, width: number): string[] {
  const path = printable(difference.path);
  const [a, b] = [shown(difference, "a"), shown(difference, "b")];
  const line = `  ${path}: ${a} -> ${b}`;
  if (cut(line, width) === line) return [line];
  const [symbolsA, symbolsB] = [[...a], [...b]];
  const place = symbolsA.findIndex((symbol, at) => symbol !== symbolsB[at]);
  const from = (place === -1 ? symbolsA.length : place) - LEAD;
  const part = (symbols: string[]) => (from > 0 ? `…${symbols.slice(from).join("")}` : symbols.join(""));
  return [`  ${path}:`, cut(`    A ${part(symbolsA)}`, width), cut(`    B ${part(symbolsB)}`, width)];
}

function shown(difference: ConfigDifference, side: "a" | "b"): string {
  return side in difference ? printable(JSON.stringify(difference[side])) : "(not set)";
}

function renderConditions(conditions: readonly ConditionDiff[], width: number): string {
  const rows = conditions.flatMap(({ a, b, ...pair }) => [
    { ...pair, ...a, side: "A" },
    { ...pair, condition: "", ...b, side: "B" },
  ]);
  type Row = (typeof rows)[number];
  const once = (value: (row: Row) => string) => (row: Row) => (row.side === "A" ? value(row) : "");
  const about = ({ tokens }: Row) => (tokens.estimated ? "~" : "");
  const columns: Column<Row>[] = [
    { title: "CONDITION", value: ({ condition }) => condition, rank: 0, least: 12 },
    { title: "", value: ({ side }) => side, rank: 0 },
    { title: "COMPARED", value: once(comparedOf), align: "right", rank: 0 },
    { title: "SAME", value: once((row) => percent(row.identical_share)), align: "right", rank: 0 },
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

function comparedOf({ compared, cells }: Pick<ConditionDiff, "compared" | "cells">): string {
  return compared === cells ? number(cells) : `${number(compared)}/${number(cells)}`;
}

function renderPairs(pairs: readonly DifferentPair[], width: number): string[][] {
  if (pairs.length === 0) return [["No two responses differ."]];
  return [
    [
      pairs.length === 1
        ? "The pair of responses that differs most:"
        : `The ${number(pairs.length)} pairs of responses that differ most:`,
    ],
    ...pairs.map((pair, at) => renderPair(pair, at + 1, width)),
  ];
}

function renderPair(pair: DifferentPair, place: number, width: number): string[] {
  const { condition, replicate, task_a: taskA, task_b: taskB, reference, difference } = pair;
  const facts = [
    oneLine(condition),
    ...(replicate > 1 ? [`replicate ${replicate}`] : []),
    taskA === taskB ? `row ${taskA}` : `row ${taskA} of A and ${taskB} of B`,
    `difference ${difference.toFixed(2)}`,
  ];
  const input = wrap(`Input: ${pair.context}`, width);
  const [a, b] = [
    { title: "A", text: pair.a },
    { title: "B", text: pair.b },
  ];
  const isWide = width >= WIDTH_OF_THREE;
  const texts = reference !== null && isWide ? [{ title: "Reference", text: reference }, a, b] : [a, b];
  return [
    ...wrap(`${place}. ${facts.join(", ")}`, width),
    ...input.slice(0, MOST_INPUT_LINES),
    ...(input.length > MOST_INPUT_LINES ? ["…"] : []),
    ...(reference !== null && !isWide ? wrap(`Reference: ${reference}`, width) : []),
    "",
    ...sideBySide(texts, width),
  ];
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
