import { signal } from "@preact/signals";
import type { Filter, State } from "../rows.ts";

export const VIEWS = ["runs", "grid", "side", "distributions", "statistics", "differences"] as const;
export type ViewName = (typeof VIEWS)[number];

/** The place of one answer. */
export interface CellPlace {
  position: number;
  condition: number;
  replicate: number;
}

/** One column of the side-by-side view. */
export interface Side {
  /** Null: the run that is shown. */
  run: string | null;
  condition: number;
  replicate: number;
}

/** What the address says: everything that a link or a reload must bring back. */
export interface Place {
  view: ViewName;
  run: string | null;
  /** The first input that is in sight or, side by side, the one that is shown. */
  input: number | null;
  /** The cell that is open. */
  cell: CellPlace | null;
  filter: Filter;
  sides: Side[];
  /** Whether all conditions of the input are listed in place of the columns. */
  all: boolean;
  /** The run to compare with. */
  other: string | null;
  /** The column by which a table of figures is sorted, and which histograms or which figures are shown. */
  sort: string | null;
  measure: string | null;
  /** Whether figures are of kinds of conditions; null: of conditions. */
  by: "kind" | null;
  /** The figure whose definition is open, and the figure whose differences are shown. */
  about: string | null;
  differing: string | null;
}

const NUMBERS = ["lengthFrom", "lengthTo", "latencyFrom", "latencyTo", "costFrom", "costTo"] as const;
const STATES: readonly string[] = ["succeeded", "failed", "pending"] satisfies State[];

export function parsePlace(hash: string): Place {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const run = words.get("run");
  const view = VIEWS.find((name) => name === words.get("view")) ?? (run === null ? "runs" : "grid");
  return {
    view: run === null ? "runs" : view,
    run,
    input: wholeNumber(words.get("input")),
    cell: parseCell(words.get("cell")),
    filter: parseFilter(words),
    sides: (words.get("sides") ?? "").split(",").flatMap(parseSide).slice(0, MOST_SIDES),
    all: words.get("all") === "1",
    other: words.get("with"),
    sort: words.get("sort"),
    measure: words.get("measure"),
    by: words.get("by") === "kind" ? "kind" : null,
    about: words.get("about"),
    differing: words.get("differing"),
  };
}

export const MOST_SIDES = 4;

function hashOf(to: Place): string {
  const { view, run, input, cell, filter, sides, all, other, sort, measure, by, about, differing } = to;
  if (run === null) return "#view=runs";
  const words = new URLSearchParams({ run, view });
  const add = (name: string, value: string | number | null) => value !== null && words.set(name, String(value));
  if (view === "runs") return `#${words}`;
  add("input", input);
  if (sides.length > 0) add("sides", sides.map(sideText).join(","));
  if (all) words.set("all", "1");
  add("with", other);
  add("sort", sort);
  add("measure", measure);
  add("by", by);
  add("about", about);
  add("differing", differing);
  for (const [name, value] of Object.entries(filter)) {
    if (value !== undefined) add(name, typeof value === "boolean" ? Number(value) : (value as string | number));
  }
  if (cell !== null) add("cell", `${cell.position}.${cell.condition}.${cell.replicate}`);
  return `#${words}`;
}

function parseFilter(words: URLSearchParams): Filter {
  const filter: Filter = {};
  const state = words.get("state");
  if (state !== null && STATES.includes(state)) filter.state = state as State;
  for (const name of ["reason", "condition", "text"] as const) {
    const value = words.get(name);
    if (value !== null && value !== "") filter[name] = value;
  }
  for (const name of ["truncated", "reused"] as const) {
    const value = words.get(name);
    if (value === "1" || value === "0") filter[name] = value === "1";
  }
  for (const name of NUMBERS) {
    const value = Number(words.get(name) ?? Number.NaN);
    if (Number.isFinite(value)) filter[name] = value;
  }
  const equal = words.get("equal");
  if (equal === "reference" || equal === "other") filter.equal = equal;
  return filter;
}

function wholeNumber(text: string | null | undefined): number | null {
  return text && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function parseCell(text: string | null): CellPlace | null {
  const [position, condition, replicate] = (text ?? "").split(".").map((part) => wholeNumber(part));
  if (position == null || condition == null || replicate == null) return null;
  return { position, condition, replicate };
}

function parseSide(text: string): Side[] {
  const [, run = null, condition, replicate] = /^(?:([\w-]{1,40}):)?(\d{1,9})\.(\d{1,9})$/.exec(text) ?? [];
  return condition === undefined ? [] : [{ run, condition: Number(condition), replicate: Number(replicate) }];
}

function sideText({ run, condition, replicate }: Side): string {
  return `${run === null ? "" : `${run}:`}${condition}.${replicate}`;
}

export const place = signal<Place>(parsePlace(location.hash));

addEventListener("popstate", () => {
  place.value = parsePlace(location.hash);
});

/** The address of another place, for links. */
export function linkTo(change: Partial<Place>): string {
  // With the name of the page: a link that begins with # should lead to a part of it.
  const page = location.pathname.slice(location.pathname.lastIndexOf("/") + 1);
  return `./${page}${hashOf({ ...place.peek(), cell: null, about: null, ...change })}`;
}

/** The address of another run, for links. Nothing of this run's filters and choices goes along. */
export function linkToRun(run: string, change: Partial<Pick<Place, "input" | "filter" | "cell">> = {}): string {
  const nothing = { input: null, filter: {}, sides: [], all: false, other: null, sort: null };
  return linkTo({ ...nothing, view: "grid", run, ...change });
}

/** Goes to another place. Small moves, such as scrolling, replace the entry in the browser's history. */
export function go(change: Partial<Place>, how: "push" | "replace" = "push"): void {
  const next = { ...place.peek(), ...change };
  const hash = hashOf(next);
  if (hash !== location.hash) history[how === "push" ? "pushState" : "replaceState"](null, "", hash);
  place.value = next;
}
