import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { configFor, rows, startDatagen, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { openView, type RawAnswer, sendBytes, sendRaw, type View } from "./support/view.ts";

let space: Workspace;
let view: View;

/** Where a tunnel to the server begins. */
const TUNNEL = "https://tunnel.example:9443";

beforeAll(async () => {
  space = await workspace();
  await space.write("rows.json", rows(3));
  await space.write("config.json", configFor({ api_provider: "offline" }));
  const { code, stderr } = await datagenInTurn(["run", "config.json", "--no-export"], { cwd: space.path });
  expect(code, stderr).toBe(0);
  view = await openView(startDatagen(["view", "--json"], { cwd: space.path, timeoutMs: 600_000 }));
});

afterAll(async () => {
  await view[Symbol.asyncDispose]();
  await space[Symbol.asyncDispose]();
});

const RUNS = "GET /api/runs HTTP/1.1";

/** Sends a request of a browser that was let in: with the cookie, and with the path of the data for `/api`. */
async function letIn(lines: string[], body?: string): Promise<RawAnswer> {
  return await sendRaw(view.port, [...lines.map(withPath), `Cookie: ${view.cookie}`], body);
}

function withPath(line: string): string {
  return line.replace("/api", view.dataPath);
}

function post(token: unknown, lines: string[] = ["Content-Type: application/json"]): [string[], string] {
  const body = typeof token === "string" && token.startsWith("{") ? token : JSON.stringify({ token });
  return [["POST /session HTTP/1.1", ...lines, `Content-Length: ${Buffer.byteLength(body)}`], body];
}

/** What a refusal must look like: it says nothing of the data, and no page can read or show it. */
function expectRefusal(answer: RawAnswer, status: number): void {
  expect(answer.status, answer.body).toBe(status);
  expect(answer.body).not.toMatch(/gpt-4o-mini|translation|succeeded|\/tmp|node_modules|\.js:\d/);
  expect(answer.head).not.toContain("access-control");
  expect(answer.head).not.toContain("set-cookie");
}

describe("the server lets in", () => {
  test("a browser that has changed the token for the cookie", async () => {
    const answer = await letIn([RUNS]);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject([{ status: "completed", tasks: 3 }]);
    const names = ["Host: 127.0.0.1", "Host: localhost", "Host: LocalHost", "Host: [::1]"];
    for (const host of names) expect(await letIn([RUNS, `${host}:${view.port}`])).toMatchObject({ status: 200 });
    const same = ["Sec-Fetch-Site: same-origin", `Origin: http://127.0.0.1:${view.port}`];
    expect(await letIn([RUNS, ...same])).toMatchObject({ status: 200 });
    expect(await letIn([RUNS, "Sec-Fetch-Site: none"])).toMatchObject({ status: 200 });
    expect(await letIn(["HEAD /api/runs HTTP/1.1"])).toMatchObject({ status: 200, body: "" });
    expect((await sendRaw(view.port, [withPath(RUNS), `Cookie: other=1; ${view.cookie}; more=2`])).status).toBe(200);
  });

  test("anybody to the empty page, also by a link on another page", async () => {
    const link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    for (const lines of [[], link]) {
      const { status, body } = await sendRaw(view.port, ["GET / HTTP/1.1", ...lines]);
      expect(status).toBe(200);
      expect(body).toContain("<!doctype html>");
      expect(body).not.toMatch(/gpt-4o-mini|completed/);
    }
    for (const path of ["/app.js", "/app.css"]) {
      expect((await sendRaw(view.port, [`GET ${path} HTTP/1.1`])).status).toBe(200);
    }
    expect((await sendRaw(view.port, ["GET /favicon.ico HTTP/1.1"])).status).toBe(204);
  });

  test("with a cookie that scripts and other sites do not get, for a path that nobody else knows", async () => {
    const { status, head, body } = await sendRaw(view.port, ...post(view.token));
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({ path: view.dataPath });
    expect(view.dataPath).toMatch(/^\/api\/[\w-]{43}$/);
    expect(head).toMatch(
      new RegExp(
        `set-cookie: datagen_view_${view.port}=[\\w-]{43}; httponly; samesite=strict; path=${view.dataPath.toLowerCase()}\r`,
      ),
    );
    expect(view.token).toMatch(/^[\w-]{43}$/);
    expect(head).not.toContain(view.token.toLowerCase());
  });
});

describe("the server refuses", () => {
  const hosts: [string, string[], number][] = [
    ["a name that leads to this machine", ["Host: evil.example"], 403],
    ["such a name with the port", ["Host: evil.example:PORT"], 403],
    ["a name that begins as ours", ["Host: 127.0.0.1:PORT.evil.example"], 403],
    ["a name that ends as ours", ["Host: evil.localhost:PORT"], 403],
    ["our name without the port", ["Host: 127.0.0.1"], 403],
    ["our name with another port", ["Host: localhost:1"], 403],
    ["our name with a dot behind it", ["Host: localhost.:PORT"], 403],
    ["our name behind a user", ["Host: user@127.0.0.1:PORT"], 403],
    ["all addresses", ["Host: 0.0.0.0:PORT"], 403],
    ["our address as one number", ["Host: 2130706433:PORT"], 403],
    ["our address in IPv6", ["Host: [::ffff:127.0.0.1]:PORT"], 403],
    ["no name", ["Host: "], 403],
    ["two names", ["Host: 127.0.0.1:PORT", "Host: evil.example"], 400],
    ["our name twice", ["Host: 127.0.0.1:PORT", "Host: 127.0.0.1:PORT"], 400],
  ];
  test.each(hosts)("Host: %s", async (_, lines, status) => {
    const given = lines.map((line) => line.replace("PORT", String(view.port)));
    expectRefusal(await letIn([RUNS, ...given]), status);
    expectRefusal(await letIn(["GET / HTTP/1.1", ...given]), status);
  });

  test("a request without any Host", async () => {
    for (const version of ["HTTP/1.1", "HTTP/1.0"]) {
      const answer = await sendBytes(
        view.port,
        `GET ${view.dataPath}/runs ${version}\r\nCookie: ${view.cookie}\r\n\r\n`,
      );
      expectRefusal(answer, 400);
    }
  });

  const pages: [string, string[]][] = [
    ["from another site", ["Sec-Fetch-Site: cross-site"]],
    ["from another port of this machine", ["Sec-Fetch-Site: same-site"]],
    ["from a site that says so twice", ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"]],
    ["with a value that does not exist", ["Sec-Fetch-Site: SAME-ORIGIN, none"]],
    ["with an Origin elsewhere", ["Origin: http://evil.example"]],
    ["with the Origin of a file", ["Origin: null"]],
    ["with the Origin of another port", ["Origin: http://127.0.0.1:1"]],
    ["with the Origin of https", ["Origin: https://127.0.0.1:PORT"]],
    ["with an Origin of another of our names", ["Origin: http://localhost:PORT"]],
    ["with two Origins", ["Origin: http://127.0.0.1:PORT", "Origin: http://evil.example"]],
    ["by a link to data", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]],
  ];
  test.each(pages)("a request %s", async (_, lines) => {
    const given = lines.map((line) => line.replace("PORT", String(view.port)));
    expectRefusal(await letIn([RUNS, ...given]), 403);
    const [session, body] = post(view.token);
    expectRefusal(await sendRaw(view.port, [...session, ...given], body), 403);
  });

  test("the empty page in a frame, and its script on another page", async () => {
    const elsewhere = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
    expectRefusal(await sendRaw(view.port, ["GET / HTTP/1.1", ...elsewhere, "Sec-Fetch-Dest: iframe"]), 403);
    expectRefusal(await sendRaw(view.port, ["GET /app.js HTTP/1.1", "Sec-Fetch-Site: same-site"]), 403);
    expectRefusal(
      await sendRaw(view.port, ["GET / HTTP/1.1", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"]),
      403,
    );
  });

  const cookies: [string, (cookie: string) => string | null][] = [
    ["no cookie", () => null],
    ["an empty one", (cookie) => cookie.replace(/=.*/, "=")],
    ["one without its last letter", (cookie) => cookie.slice(0, -1)],
    ["one with a letter more", (cookie) => `${cookie}a`],
    ["one of another port", (cookie) => cookie.replace(/_\d+=/, "_1=")],
    ["one in quotes", (cookie) => cookie.replace(/=(.*)/, '="$1"')],
    ["the token in its place", (cookie) => cookie.replace(/=.*/, `=${view.token}`)],
    ["one of another start", (cookie) => cookie.replace(/=.*/, `=${"A".repeat(43)}`)],
  ];
  test.each(cookies)("%s", async (_, change) => {
    const cookie = change(view.cookie);
    const lines = cookie === null ? [] : [`Cookie: ${cookie}`];
    const { body } = await view.get<{ id: string }[]>("runs");
    const id = body[0]!.id;
    const paths = ["runs", `runs/${id}`, `runs/${id}/rows`, `runs/${id}/events`, "nothing"];
    for (const path of paths)
      expectRefusal(await sendRaw(view.port, [withPath(`GET /api/${path} HTTP/1.1`), ...lines]), 401);
  });

  test("the cookie at another path than that of the data", async () => {
    const { dataPath } = view;
    for (const path of [
      "/api/runs",
      "/api",
      "/api/",
      `${dataPath.slice(0, -1)}/runs`,
      `${dataPath}a/runs`,
      `/api/${view.token}/runs`,
      `/x${dataPath}/runs`,
      dataPath.replace("api", "API"),
      "/index.html",
    ]) {
      expectRefusal(await sendRaw(view.port, [`GET ${path} HTTP/1.1`, `Cookie: ${view.cookie}`]), 401);
    }
  });

  test("tokens other than its own, at any length and in any form", async () => {
    for (const token of ["", "A".repeat(43), view.token.slice(1), `${view.token}A`]) {
      expectRefusal(await sendRaw(view.port, ...post(token)), 401);
    }
    for (const token of [1, null, [view.token], "{", '{"token":', "{}"]) {
      expectRefusal(await sendRaw(view.port, ...post(token)), 400);
    }
    const [form, text] = ["application/x-www-form-urlencoded", "text/plain"].map((type) => [`Content-Type: ${type}`]);
    expectRefusal(await sendRaw(view.port, ...post(view.token, form)), 400);
    expectRefusal(await sendRaw(view.port, ...post(view.token, text)), 400);
    expectRefusal(await sendRaw(view.port, ...post(view.token, [])), 400);
    expectRefusal(
      await sendRaw(view.port, ...post(JSON.stringify({ token: view.token, more: "x".repeat(2_000) }))),
      400,
    );
  });

  test("a body that is longer than 1 kB, if it comes in pieces", async () => {
    const head = ["POST /session HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked"];
    const piece = `400\r\n${" ".repeat(1_024)}\r\n`;
    expectRefusal(await sendRaw(view.port, head, `${piece.repeat(8)}0\r\n\r\n`), 400);
  });

  test.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])("the method %s", async (method) => {
    for (const path of ["/", "/api/runs"]) {
      const answer = await letIn([`${method} ${path} HTTP/1.1`, "Content-Length: 0"]);
      expectRefusal(answer, 405);
    }
  });

  test("the method CONNECT, and other methods for the token", async () => {
    expectRefusal(await letIn([`CONNECT 127.0.0.1:${view.port} HTTP/1.1`]), 0);
    expectRefusal(await letIn(["GET /session HTTP/1.1"]), 405);
    expectRefusal(await letIn(["HEAD /session HTTP/1.1"]), 405);
  });

  const targets = [
    "http://127.0.0.1:PORT/api/runs",
    "http://evil.example/api/runs",
    "//evil.example/api/runs",
    "/api/../api/runs",
    "/..",
    "/./api/runs",
    "/api/%2e%2e/runs",
    "/api%2fruns",
    "/api\\runs",
    "/api/runs/%00",
    "/api/runs/%C3%A4",
    "/api/runs#fragment",
    "*",
    "api/runs",
  ];
  test.each(targets)("the target %s", async (target) => {
    expectRefusal(await letIn([`GET ${target.replace("PORT", String(view.port))} HTTP/1.1`]), 400);
  });

  test("a path that does not exist", async () => {
    for (const path of [
      "/api",
      "/api/",
      "/api//runs",
      "/api/index.html",
      "/api/worker.js",
      "/api/runs/x/y/z",
      "/api/.env",
    ]) {
      expectRefusal(await letIn([`GET ${path} HTTP/1.1`]), 404);
    }
  });

  test("a body where there is none, and two lengths", async () => {
    expectRefusal(await letIn([RUNS, "Content-Length: 3"], "abc"), 400);
    expectRefusal(await letIn([RUNS, "Transfer-Encoding: chunked"], "0\r\n\r\n"), 400);
    expectRefusal(await letIn([RUNS, "Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n"), 400);
  });

  test("headers that are too long or too many, and what is not HTTP", async () => {
    expectRefusal(await letIn([RUNS, `X-Long: ${"x".repeat(40_000)}`]), 431);
    expectRefusal(await letIn([`GET /api/runs?text=${"x".repeat(40_000)} HTTP/1.1`]), 431);
    expectRefusal(await sendBytes(view.port, "\u0016\u0003\u0001\u0002\r\n\r\n"), 400);
    expectRefusal(await sendBytes(view.port, "GET /api/runs HTTP/1.1\nHost: 127.0.0.1\n\n"), 400);
  });

  test("the second of two requests on a connection, if only the first is ours", async () => {
    const one = (host: string, end: string) =>
      `${withPath(RUNS)}\r\nHost: ${host}\r\nCookie: ${view.cookie}\r\n${end}\r\n`;
    const ours = `127.0.0.1:${view.port}`;
    const { body } = await sendBytes(view.port, one(ours, "") + one("evil.example", "Connection: close\r\n"));
    expect(body.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 403"]);
  });

  test("to wait for clients that do not finish their request", async () => {
    const sockets = ["GET / HTTP/1.1\r\nHost: x", "POST /session HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"].map(
      (begun) => {
        const socket = connect(view.port, "127.0.0.1");
        socket.on("error", () => {}).resume();
        socket.write(begun);
        return once(socket, "close");
      },
    );
    expect(await Promise.race([Promise.all(sockets).then(() => "closed"), setTimeout(30_000, "open")])).toBe("closed");
  });
});

test("every answer keeps the page to itself, and is stored nowhere", async () => {
  const answers = [
    await letIn([RUNS]),
    await sendRaw(view.port, ["GET / HTTP/1.1"]),
    await sendRaw(view.port, [RUNS]),
    await letIn([RUNS, "Host: evil.example"]),
    await letIn(["GET /api/nothing HTTP/1.1"]),
    await sendRaw(view.port, ...post("wrong")),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 403, 404, 401]);
  for (const { head } of answers) {
    expect(head).toContain(
      "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; " +
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n",
    );
    for (const line of [
      "x-content-type-options: nosniff",
      "referrer-policy: no-referrer",
      "cache-control: no-store",
      "cross-origin-opener-policy: same-origin",
      "cross-origin-resource-policy: same-origin",
      "cross-origin-embedder-policy: require-corp",
    ]) {
      expect(head).toContain(`\r\n${line}\r\n`);
    }
    expect(head).toContain("\r\npermissions-policy: ");
  }
});

test("through a tunnel, only the origin that was named is let in besides", async () => {
  await using running = startDatagen(["view", "--json", "--public-origin", `${TUNNEL}/`], { cwd: space.path });
  const [json] = await running.waitFor(/\{[^}]*\}/, "stdout");
  const { url } = JSON.parse(json) as { url: string };
  expect(url).toMatch(/^https:\/\/tunnel\.example:9443\/#token=[\w-]{43}$/);
  const [, port = 0] = await running.waitFor(/127\.0\.0\.1:(\d+)/);
  const ours = ["Host: tunnel.example:9443", `Origin: ${TUNNEL}`];
  const [session, body] = post(url.replace(/.*=/, ""));
  const { status, head } = await sendRaw(Number(port), [...session, ...ours], body);
  expect(status).toBe(200);
  expect(head).toContain("; secure");
  const cookie = /set-cookie: ([^;]*)/.exec(head)![1]!;
  expect(cookie).toContain(`datagen_view_${port}=`);
  expectRefusal(await sendRaw(Number(port), [RUNS, ...ours]), 401);
  expectRefusal(await sendRaw(Number(port), [RUNS, "Host: tunnel.example"]), 403);
  expectRefusal(await sendRaw(Number(port), [RUNS, ours[0]!, `Origin: http://127.0.0.1:${port}`]), 403);
});

test("only this machine can reach it", async () => {
  const { networkInterfaces } = await import("node:os");
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, family }) => !internal && family === "IPv4");
  for (const { address } of addresses) {
    const socket = connect(view.port, address);
    const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNREFUSED");
  }
  expect(view.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=/);
});
