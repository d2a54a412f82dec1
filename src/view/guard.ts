import type { Session } from "./session.ts";
import { ViewError } from "./view-error.ts";

/*
 * Who may ask what. Web pages, other programs and other users of this machine can send requests to a port of it; only the
 * page of the user who started the server gets an answer. The rules stand in the order in which they are applied.
 */

/** A request as it came, before anything has interpreted it. */
export interface RawRequest {
  method: string;
  /** The target of the request line. */
  target: string;
  /** Names and values in turn. */
  rawHeaders: readonly string[];
}

/** The addresses at which the page is opened, by the `Host` that a browser sends for them. */
export type Origins = ReadonlyMap<string, string>;

/** Paths that anybody may read: they have no data, and are the same for everybody. */
const SHELL = new Set(["/", "/app.js", "/app.css", "/favicon.ico"]);

const SESSION = "/session";

/** Segments of the usual characters: nothing that is encoded, and no segment that leads elsewhere. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]*)+$/;

/** The origins of a server, which listens on the loopback only. @param publicOrigin another one, of a tunnel to it */
export function originsOf(port: number, publicOrigin: URL | null): Origins {
  const own = ["127.0.0.1", "localhost", "[::1]"].map((host) => {
    const { host: sent, origin } = new URL(`http://${host}:${port}`);
    return [sent, origin] as const;
  });
  return new Map([...own, ...(publicOrigin ? [[publicOrigin.host, publicOrigin.origin] as const] : [])]);
}

/** Why a request gets no answer; null if it may have one. */
export function refusalOf(request: RawRequest, origins: Origins, session: Session): ViewError | null {
  const { method, target, rawHeaders } = request;
  const [path = ""] = target.split("?");
  const all = (name: string) => valuesOf(rawHeaders, name);

  // 1. Its form. A target with a host, as a proxy gets it, does not begin with a slash.
  if (!PATH.test(path) || target.startsWith("//") || target.includes("#")) {
    return new ViewError(400, "the path of the request is not one of this server");
  }
  const hosts = all("host");
  if (hosts.length !== 1) return new ViewError(400, "the request needs exactly one Host");

  // 2. Host. A page whose name leads to this machine (DNS rebinding) sends that name.
  const origin = origins.get(hosts[0]?.toLowerCase() ?? "");
  if (origin === undefined) {
    return new ViewError(
      403,
      "this server is not known by that name",
      "Open the address that `datagen view` has printed; for a tunnel, start it with --public-origin.",
    );
  }

  // 3. Fetch metadata. A link from anywhere may open the empty page; everything else must come from the page itself.
  const isOurs = all("sec-fetch-site").every((site) => site === "same-origin" || site === "none");
  if (!isOurs && !isNavigation(method, path, all)) return new ViewError(403, "the request comes from another page");

  // 4. Origin.
  if (!all("origin").every((sent) => sent === origin)) return new ViewError(403, "the request comes from another page");

  // 5. Method. Nothing can be changed.
  const allowed = path === SESSION ? ["POST"] : ["GET", "HEAD"];
  if (!allowed.includes(method)) return new ViewError(405, `only ${allowed.join(" and ")} can be sent here`);
  if (method !== "POST" && hasBody(all)) return new ViewError(400, `a ${method} request has no body`);

  // 6. The path of the data, and the cookie. The token is changed for both at POST /session.
  if (SHELL.has(path) || path === SESSION) return null;
  if (session.hasPath(path) && session.hasCookie(all("cookie").join(";"))) return null;
  return new ViewError(
    401,
    "this browser has not been let in",
    "Open the address that `datagen view` has printed, with everything behind the #.",
  );
}

/** Whether a request opens the page in a window of its own. */
function isNavigation(method: string, path: string, all: (name: string) => string[]): boolean {
  const is = (name: string, wanted: string) => all(name).every((value) => value === wanted);
  return method === "GET" && path === "/" && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
}

function hasBody(all: (name: string) => string[]): boolean {
  return all("transfer-encoding").length > 0 || all("content-length").some((length) => length !== "0");
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}
