import type { RunSummary } from "../../app/runs/summary.ts";
import type {
  CellView,
  Comparison,
  Distributions,
  Filter,
  GridRow,
  Matches,
  Rows,
  Statistics,
  ViewedRun,
  WholeRow,
} from "../rows.ts";

/** An answer of the server that is no answer to the question. */
export class Refusal extends Error {
  readonly status: number;
  readonly hint: string | null;

  constructor(status: number, message: string, hint: string | null) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** The rows that `datagen view` serves. */
export const fromServer: Rows = {
  runs: () => get<RunSummary[]>(`${dataPath()}/runs`),
  run: (run) => get<ViewedRun>(of(run)),
  grid: (run, from, count) => get<GridRow[]>(`${of(run)}/rows?from=${from}&count=${count}`),
  row: (run, position) => get<WholeRow>(`${of(run)}/rows/${position}`),
  cell: (run, position, condition, replicate) =>
    get<CellView>(`${of(run)}/rows/${position}/cells/${condition}/${replicate}`),
  matches: (run, filter, after) => get<Matches>(`${of(run)}/matches?${words({ after, ...filter })}`),
  distributions: (run, after) => get<Distributions>(`${of(run)}/distributions?after=${after}`),
  statistics: (run) => get<Statistics>(`${of(run)}/statistics`),
  compare: (a, b, after) => get<Comparison>(`${of(a)}/compare?${words({ with: b, after })}`),
  partner: async (run, position, other) =>
    (await get<{ position: number | null }>(`${of(run)}/rows/${position}/partner?${words({ run: other })}`)).position,
  watch(run, onChange) {
    // Only while the page is in sight: browsers have six connections to a server, for all tabs together.
    let events: EventSource | null = null;
    const follow = () => {
      events?.close();
      events = document.visibilityState === "visible" ? new EventSource(`${of(run)}/events`) : null;
      events?.addEventListener("message", ({ data }: MessageEvent<string>) => onChange(JSON.parse(data) as RunSummary));
    };
    follow();
    document.addEventListener("visibilitychange", follow);
    return () => {
      document.removeEventListener("visibilitychange", follow);
      events?.close();
    };
  },
};

/** Where the page keeps the path of the data. Only pages of this server can read it, also none of another port. */
const KEPT = "datagen-view";

/** Changes the token of the address for a cookie, and the path to which the browser sends it. */
export async function openSession(token: string): Promise<void> {
  const response = await answerTo(
    await fetch("/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
    }),
  );
  const { path } = (await response.json()) as { path: string };
  localStorage.setItem(KEPT, path);
}

function dataPath(): string {
  // Without it the server answers that the browser has not been let in.
  return localStorage.getItem(KEPT) ?? "/api";
}

function of(run: string): string {
  return `${dataPath()}/runs/${encodeURIComponent(run)}`;
}

function words(members: Filter & { after?: number; with?: string; run?: string }): string {
  const entries = Object.entries(members).map(([name, value]) => [
    name,
    String(typeof value === "boolean" ? Number(value) : value),
  ]);
  return new URLSearchParams(entries).toString();
}

/** How often to ask again while the server or the database is busy, and how long to wait first. */
const TRIES = 4;
const PAUSE_MS = 400;

async function get<T>(path: string): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    let response: Response;
    try {
      response = await fetch(path, { headers: { accept: "application/json" } });
    } catch {
      throw new Refusal(
        0,
        "The server does not answer.",
        "Is `datagen view` still running? Start it again, and reload.",
      );
    }
    if (response.status !== 503 || tries === TRIES) return (await answerTo(response)).json() as Promise<T>;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
  }
}

async function answerTo(response: Response): Promise<Response> {
  if (response.ok) return response;
  const said = (await response.json().catch(() => null)) as { error?: { message?: string; hint?: string } } | null;
  const { message = `The server answered ${response.status}.`, hint = null } = said?.error ?? {};
  throw new Refusal(response.status, message, hint);
}
