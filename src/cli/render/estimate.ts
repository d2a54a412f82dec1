import type { Estimates } from "../../app/estimate/estimate-runs.ts";
import type { Estimate, EstimatedStep } from "../../estimate/estimate.ts";
import type { Range } from "../../estimate/range.ts";
import { type Column, renderTable } from "./table.ts";
import { counted, number, oneLine, usd } from "./text.ts";

/** A name, and the lines behind it. */
type Fact = [name: string, values: string[]];

/** The names of the levels that the lengths of answers are predicted from. */
const LEVELS: Record<EstimatedStep["basis"]["level"], { short: string; long: string }> = {
  pilot: { short: "pilot", long: "the pilot" },
  instruction: { short: "instruction", long: "the same instruction" },
  condition: { short: "condition", long: "the same condition" },
  task_type: { short: "task type", long: "the same type of task" },
  model: { short: "model", long: "the same model" },
  step: { short: "other models", long: "other models" },
  assumed: { short: "assumed", long: "" },
};

/** How many runs to name at most. */
const MOST_RUNS = 3;

/** An estimate in a few lines. */
export function renderEstimate(estimate: Estimate): string {
  const facts: Fact[] = [
    ["prompt", [prompt(estimate)]],
    ["completion", [[tokens(estimate.completion_tokens), ...completionBases(estimate)].join("; ")]],
    ["cache", caching(estimate)],
    ["cost", [costs(estimate)]],
  ];
  const { inputs, calls } = estimate;
  const first = `Estimate: ${counted(calls.total, "call")}${kinds(calls)} for ${counted(inputs, "input")}${reuse(calls)}`;
  return [first, ...lines(facts, "  ")].join("\n");
}

/** The estimates of a config's models, one after the other, and then what they add up to. */
export function renderEstimates({ models, total }: Estimates, width: number): string {
  const [first, ...others] = models;
  if (first && others.length === 0) return renderEstimateDetails(first.estimate, width);
  const facts: Fact[] = [
    ["calls", [`${number(total.calls.total)}${kinds(total.calls)}${reuse(total.calls)}`]],
    ["prompt", [tokens(total.prompt_tokens)]],
    ["completion", [tokens(total.completion_tokens)]],
    ["cost", [costs(total)]],
  ];
  return [
    ...models.map(({ model, estimate }) => `${oneLine(model)}\n\n${renderEstimateDetails(estimate, width)}`),
    [`All ${counted(models.length, "model")}`, "", ...lines(facts, "")].join("\n"),
  ].join("\n\n");
}

/** The same for `--json`: the estimate of a single model, or those of all models with their sum. */
export function estimatesJson({ models, total }: Estimates): object {
  const [first, ...others] = models;
  return first && others.length === 0 ? first.estimate : { models, total };
}

/** An estimate in full, with a table of the steps. */
export function renderEstimateDetails(estimate: Estimate, width: number): string {
  const { inputs, calls } = estimate;
  const facts: Fact[] = [
    ["inputs", [number(inputs)]],
    ["calls", [`${number(calls.total)}${kinds(calls)}${reuse(calls)}`]],
    ["prompt", [prompt(estimate)]],
    ["completion", [tokens(estimate.completion_tokens), ...completionBases(estimate)]],
    ["cache", caching(estimate)],
    ["cost", [costs(estimate)]],
    ["prices", prices(estimate)],
  ];
  const columns: Column<EstimatedStep>[] = [
    { title: "CONDITION", value: ({ condition }) => condition, rank: 0, least: 16 },
    { title: "STEP", value: ({ step }) => step, rank: 0 },
    { title: "CALLS", value: (step) => number(step.calls), align: "right", rank: 0 },
    { title: "REUSED", value: ({ reused }) => number(reused), align: "right", rank: 1 },
    { title: "PROMPT", value: (step) => about(step.prompt_tokens), align: "right", rank: 1 },
    { title: "COMPLETION", value: (step) => about(step.completion_tokens), align: "right", rank: 0 },
    { title: "LOW", value: (step) => rounded(step.completion_tokens.low), align: "right", rank: 5 },
    { title: "HIGH", value: (step) => rounded(step.completion_tokens.high), align: "right", rank: 5 },
    { title: "COST", value: (step) => expectedCost(step.cost_usd.live), align: "right", rank: 1 },
    { title: "BASED ON", value: ({ basis }) => LEVELS[basis.level].short, rank: 3 },
    { title: "EARLIER CALLS", value: ({ basis }) => number(basis.calls), align: "right", rank: 4 },
  ];
  const shown = columns.filter(({ title }) => title !== "REUSED" || calls.reused > 0);
  return [...lines(facts, ""), "", renderTable(shown, estimate.steps, width)].join("\n");
}

function lines(facts: readonly Fact[], indent: string): string[] {
  return facts.flatMap(([name, values]) =>
    values.map((value, at) => `${indent}${(at === 0 ? name : "").padEnd(11)} ${oneLine(value)}`),
  );
}

function kinds({ readings, strategies }: Estimate["calls"]): string {
  if (readings === 0) return "";
  return ` (${counted(readings, "reading")}, ${counted(strategies, "strategy", "strategies")})`;
}

function reuse({ reused, to_send }: Estimate["calls"]): string {
  return reused === 0 ? "" : `; ${number(reused)} reused, ${number(to_send)} to send`;
}

function prompt({ prompt_tokens: range, basis: { prompt_tokens } }: Estimate): string {
  const { encoding, is_exact, calibration } = prompt_tokens;
  const how = calibration
    ? `, calibrated on ${counted(calibration.calls, "call")}${ofRuns(calibration.runs)}`
    : ", which is not the model's own tokenizer";
  return `${tokens(range)}, counted with ${encoding}${is_exact ? "" : how}`;
}

function completionBases({ basis: { completion_tokens: bases } }: Estimate): string[] {
  const all = bases.reduce((sum, { steps }) => sum + steps, 0);
  return bases.map(({ level, steps, calls: earlier, runs }) => {
    const which = bases.length === 1 ? "" : `${steps} of ${all} steps `;
    if (level === "assumed") return `${which}assumed, because there are no earlier calls`;
    return `${which}from ${LEVELS[level].long} (${counted(earlier, "call")}${ofRuns(runs)})`;
  });
}

function costs({
  cost_usd: { live, batch },
  price_unknown_because: reason,
}: Pick<Estimate, "cost_usd" | "price_unknown_because">): string {
  if (live === null) return `unknown${reason === undefined ? "" : `: ${reason}`}`;
  const inBatches = batch === null ? "unknown" : `${usd(batch.expected)}${bounds(batch, usd)}`;
  return `${usd(live.expected)}${bounds(live, usd)}, in batches ${inBatches}`;
}

function caching({ prompt_caching: cached }: Estimate): string[] {
  if (!cached) return [];
  const { written_tokens: written, read_tokens: read, is_counted: isCounted, shortest_tokens: shortest } = cached;
  if (read === 0) return [`nothing: no two calls to send begin with the same ${number(shortest)} tokens or more`];
  if (!isCounted) return [`up to ${rounded(read)} prompt tokens; the cost does not count on it`];
  return [`${rounded(written)} prompt tokens written, ${rounded(read)} read`];
}

function prices({ prices: known }: Estimate): string[] {
  if (known === null) return [];
  const { input, cached_input, output, source, date } = known;
  const cached = cached_input === input ? "" : ` (cached ${usd(cached_input)})`;
  return [`${usd(input)}${cached} for a million prompt tokens, ${usd(output)} for completion`, `${source}, ${date}`];
}

function tokens(range: Range): string {
  return `${isExact(range) ? "" : "about "}${about(range)} tokens${bounds(range, rounded)}`;
}

function ofRuns(runs: readonly string[]): string {
  const named = runs.slice(0, MOST_RUNS).join(", ");
  const more = runs.length > MOST_RUNS ? ` and ${runs.length - MOST_RUNS} more` : "";
  return ` of ${runs.length === 1 ? "run" : "runs"} ${named}${more}`;
}

function expectedCost(cost: Range | null): string {
  return cost === null ? "unknown" : usd(cost.expected);
}

function about(range: Range): string {
  return isExact(range) ? number(range.expected) : rounded(range.expected);
}

function bounds(range: Range, text: (value: number) => string): string {
  const [low, high] = [text(range.low), text(range.high)];
  return low === high ? "" : ` (${low} to ${high})`;
}

/** Rounded to three digits: an estimate is no more exact. */
function rounded(value: number): string {
  return number(Number(value.toPrecision(3)));
}

function isExact({ low, high }: Range): boolean {
  return low === high;
}
