import type { PriceRow } from "../../app/prices.ts";
import { type Column, renderTable } from "./table.ts";
import { counted, number } from "./text.ts";

/** A line of the table: a price, or the rates of its long prompts. */
type Line = Pick<PriceRow, "input" | "cached_input" | "cache_write" | "output"> & { name: string; price?: PriceRow };

// Names of models often differ only at their ends, so names from the price list are not cut.
const COLUMNS: Column<Line>[] = [
  { title: "MODEL", value: ({ name }) => name, rank: 0, least: 49 },
  { title: "INPUT", value: ({ input }) => rate(input), align: "right", rank: 0 },
  { title: "CACHED", value: (line) => rate(line.cached_input), align: "right", rank: 2 },
  { title: "WRITTEN", value: (line) => rate(line.cache_write), align: "right", rank: 5 },
  { title: "OUTPUT", value: ({ output }) => rate(output), align: "right", rank: 0 },
  { title: "BATCH", value: ({ price }) => (price ? factor(price) : ""), align: "right", rank: 4 },
  { title: "PROVIDER", value: ({ price }) => price?.provider ?? "", rank: 3 },
  { title: "DATE", value: ({ price }) => price?.date ?? "", rank: 1 },
  { title: "SOURCE", value: ({ price }) => price?.source ?? "", rank: 6, least: 20 },
];

/** Prices as a table no wider than `width`, and a line that says how old they are. */
export function renderPrices(rows: readonly PriceRow[], width: number): string {
  const [oldest] = rows.toSorted((a, b) => b.age_days - a.age_days);
  if (!oldest) return "No price is known for such a model. Set one with `datagen prices set MODEL`.";
  const lines = rows.flatMap((price): Line[] => [
    { name: labelOf(price), ...price, price },
    ...price.long_prompts.map((rates) => ({ name: `└ prompts from ${number(rates.from)}`, ...rates })),
  ]);
  return [
    renderTable(COLUMNS, lines, width),
    "",
    "In US dollars per million tokens.",
    `${counted(rows.length, "price")}; the oldest is from ${oldest.date}, ${counted(oldest.age_days, "day")} ago.`,
  ].join("\n");
}

export function renderSetPrice(row: PriceRow): string {
  const rates = [
    `${rate(row.input)} for input`,
    ...(row.cached_input === row.input ? [] : [`${rate(row.cached_input)} for cached input`]),
    ...(row.cache_write === row.input ? [] : [`${rate(row.cache_write)} for input written to the cache`]),
    `${rate(row.output)} for output`,
  ];
  const batch = row.batch_factor === null ? "" : `; batches ${factor(row)}`;
  return `${nameOf(row)} costs ${rates.join(", ")}, in US dollars per million tokens${batch}.`;
}

export function renderUnsetPrice(row: PriceRow): string {
  return `The price of ${nameOf(row)} was removed.`;
}

function nameOf({ model, base_url: baseUrl }: PriceRow): string {
  return `${model} at ${baseUrl ?? "any server"}`;
}

function labelOf({ model, provider, base_url: baseUrl }: PriceRow): string {
  if (provider !== null) return model;
  return `${model} (yours${baseUrl === null ? "" : `, at ${baseUrl}`})`;
}

function factor({ batch_factor: batch }: PriceRow): string {
  return batch === null ? "" : `×${String(batch)}`;
}

/** Dollars with two digits after the point, or with more where the price has more. */
export function rate(usd: number): string {
  return usd.toFixed(6).replace(/(\.\d\d\d*?)0+$/, "$1");
}
