import type { ModelRow } from "../../app/models/list-models.ts";
import { rate } from "./prices.ts";
import { type Column, renderTable } from "./table.ts";
import { counted, number } from "./text.ts";

// Names of models often differ only at their ends.
const COLUMNS: Column<ModelRow>[] = [
  { title: "MODEL", value: ({ model }) => model, rank: 0, least: 49 },
  { title: "CONTEXT", value: ({ context_window: fact }) => tokens(fact), align: "right", rank: 2 },
  { title: "OUTPUT LIMIT", value: ({ output_limit: fact }) => tokens(fact), align: "right", rank: 3 },
  { title: "INPUT", value: (row) => priced(row, "input"), align: "right", rank: 1 },
  { title: "OUTPUT", value: (row) => priced(row, "output"), align: "right", rank: 1 },
  { title: "PRICE FROM", value: sourceOf, rank: 4, least: 20 },
  { title: "TITLE", value: ({ title }) => title ?? "", rank: 5, least: 12 },
];

/** The models of servers, a table for each server. */
export function renderModels(rows: readonly ModelRow[], width: number): string {
  if (rows.length === 0) return "The server lists no models.";
  const servers = [...new Set(rows.map(({ base_url: baseUrl }) => baseUrl))];
  const tables = servers.map((server) => {
    const own = rows.filter(({ base_url: baseUrl }) => baseUrl === server);
    const title = `${server} (${own[0]?.provider}): ${counted(own.length, "model")}`;
    return [title, "", renderTable(COLUMNS, own, width)].join("\n");
  });
  return [...tables, notes(rows)].join("\n\n");
}

function notes(rows: readonly ModelRow[]): string {
  const stated = rows.some(({ prices, stated_prices: theirs }) => prices === null && theirs !== null);
  return [
    "Prices in US dollars per million tokens, limits in tokens; a * marks limits that datagen knows and the server does not state.",
    ...(stated ? ["A run does not count with prices of the server: set them with `datagen prices set MODEL`."] : []),
  ].join("\n");
}

function tokens(fact: ModelRow["context_window"]): string {
  return fact === null ? "" : `${number(fact.tokens)}${fact.source === "datagen" ? "*" : ""}`;
}

function priced({ prices, stated_prices: stated }: ModelRow, of: "input" | "output"): string {
  const known = prices ?? stated;
  return known === null ? "" : rate(known[of]);
}

function sourceOf({ prices, stated_prices: stated }: ModelRow): string {
  if (prices !== null) return `${prices.source} (${prices.date})`;
  return stated === null ? "" : "the server";
}
