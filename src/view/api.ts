import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { eventsOf, type Watch } from "./events.ts";
import type { Origins } from "./guard.ts";
import { FILTER_NAMES, filterOf, parametersOf, whole } from "./parameters.ts";
import type { Rows } from "./rows.ts";
import type { Session } from "./session.ts";
import { ViewError } from "./view-error.ts";

/** What can be asked of the rows. */
export type Question = Exclude<keyof Rows, "watch">;

/** Answers a question with JSON. @param signal ends a question that still waits @throws ViewError */
export type Ask = <Q extends Question>(question: Q, args: Parameters<Rows[Q]>, signal: AbortSignal) => Promise<string>;

/** The files of the empty page. */
export interface Shell {
  html: string;
  js: string;
  css: string;
}

export interface ApiOptions {
  ask: Ask;
  watch: Watch;
  shell: Shell;
  session: Session;
  origins: Origins;
  /** Whether the answers that wait for their readers leave room for another one. */
  hasRoom: () => boolean;
  /** Gets errors that nobody expects. */
  onBug: (error: unknown) => void;
}

/** The longest body of a request, in bytes. */
const MOST_BODY = 1_024;

const MOST_ROWS = 100;
const POSITIONS: [number, number] = [0, Number.MAX_SAFE_INTEGER];
const AFTER: [number, number] = [-1, Number.MAX_SAFE_INTEGER];

/** The server as a function of a request. The guard has let the request in. */
export function createApi({ ask, watch, shell, session, origins, hasRoom, onBug }: ApiOptions): Hono {
  const app = new Hono();
  const file = (path: string, type: string, content: string) =>
    app.get(path, (c) => c.body(content, 200, { "content-type": `${type}; charset=utf-8` }));
  file("/", "text/html", shell.html);
  file("/app.js", "text/javascript", shell.js);
  file("/app.css", "text/css", shell.css);
  app.get("/favicon.ico", (c) => c.body(null, 204));

  const limit = bodyLimit({ maxSize: MOST_BODY, onError: () => refused(new ViewError(400, "the body is too long")) });
  app.post("/session", limit, async (c) => {
    if (!session.isToken(await tokenIn(c.req.raw))) throw new ViewError(401, "the token is not the one of this server");
    const isSecure = origins.get(c.req.header("host") ?? "")?.startsWith("https:") ?? false;
    return c.json({ path: session.dataPath }, 200, { "set-cookie": session.setCookie(isSecure) });
  });

  const data = new Hono();
  addRows(data, ask, hasRoom);
  const events = eventsOf(watch);
  data.get("/runs/:run/events", async (c) => {
    const run = c.req.param("run");
    parametersOf(c.req.url, []);
    await ask("run", [run], c.req.raw.signal);
    return c.req.method === "HEAD" ? c.body(null, 200, { "content-type": "text/event-stream" }) : events(c, run);
  });

  app.route(session.dataPath, data);
  app.notFound(() => refused(new ViewError(404, "there is nothing at this path")));
  app.onError((error) => {
    if (error instanceof ViewError) return refused(error);
    onBug(error);
    return refused(new ViewError(500, "datagen failed to answer", "The terminal of `datagen view` says why."));
  });
  return app;
}

/** A refusal as the page reads it. */
function refused({ status, message, hint }: ViewError): Response {
  return Response.json({ error: { message, hint } }, { status });
}

async function tokenIn(request: Request): Promise<string> {
  const isJson = /^application\/json(;|$)/i.test(request.headers.get("content-type") ?? "");
  const body: unknown = isJson ? await request.json().catch(() => null) : null;
  if (typeof body === "object" && body !== null && "token" in body && typeof body.token === "string") return body.token;
  throw new ViewError(400, 'expected {"token": …} as application/json');
}

function addRows(app: Hono, ask: Ask, hasRoom: () => boolean): void {
  const get = <Q extends Question>(
    path: string,
    names: readonly string[],
    question: Q,
    argsOf: (path: (name: string) => string, query: ReadonlyMap<string, string>) => Parameters<Rows[Q]>,
    sentAs = (json: string) => json,
  ) =>
    app.get(path, async (c) => {
      const args = argsOf((name) => c.req.param(name) ?? "", parametersOf(c.req.url, names));
      const json = await ask(question, args, c.req.raw.signal);
      if (!hasRoom()) throw new ViewError(503, "too many answers have not been read", "Try again in a moment.");
      return c.body(sentAs(json), 200, { "content-type": "application/json; charset=utf-8" });
    });

  const number = (path: (name: string) => string, name: string) => whole(name, path(name), POSITIONS);
  const after = (query: ReadonlyMap<string, string>) => whole("after", query.get("after"), AFTER, -1);
  const needed = (name: string, query: ReadonlyMap<string, string>) => {
    const value = query.get(name);
    if (value === undefined) throw new ViewError(400, `${name}: expected the id of a run, found none`);
    return value;
  };

  get("/runs", [], "runs", () => []);
  get("/runs/:run", [], "run", (path) => [path("run")]);
  get("/runs/:run/rows", ["from", "count"], "grid", (path, query) => [
    path("run"),
    whole("from", query.get("from"), POSITIONS, 0),
    whole("count", query.get("count"), [1, MOST_ROWS], MOST_ROWS),
  ]);
  get("/runs/:run/rows/:position", [], "row", (path) => [path("run"), number(path, "position")]);
  get("/runs/:run/rows/:position/cells/:condition/:replicate", [], "cell", (path) => [
    path("run"),
    number(path, "position"),
    number(path, "condition"),
    number(path, "replicate"),
  ]);
  get(
    "/runs/:run/rows/:position/partner",
    ["run"],
    "partner",
    (path, query) => [path("run"), number(path, "position"), needed("run", query)],
    (json) => `{"position":${json}}`,
  );
  get("/runs/:run/matches", ["after", ...FILTER_NAMES], "matches", (path, query) => [
    path("run"),
    filterOf(query),
    after(query),
  ]);
  get("/runs/:run/statistics", [], "statistics", (path) => [path("run")]);
  get("/runs/:run/distributions", ["after"], "distributions", (path, query) => [path("run"), after(query)]);
  get("/runs/:run/compare", ["with", "after"], "compare", (path, query) => [
    path("run"),
    needed("with", query),
    after(query),
  ]);
}
