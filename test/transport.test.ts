import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Body } from "../src/providers/bodies.ts";
import type { CallError } from "../src/providers/provider.ts";
import { TransportError } from "../src/providers/refusal.ts";
import { createFileFetch, createTransport } from "../src/providers/transport.ts";
import { certificate, certificateKey } from "./support/certificate.ts";

const LIMIT = { maxAnswerBytes: 100_000, baseUrl: null };

/** Listens until the test ends. @returns its port */
async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

const serve = async (listener: RequestListener) => `http://127.0.0.1:${await listen(createServer(listener))}`;
const serveTls = async (listener: RequestListener) =>
  `https://127.0.0.1:${await listen(createTlsServer({ cert: certificate, key: certificateKey }, listener))}`;

function transport(options = LIMIT) {
  const made = createTransport(options);
  onTestFinished(() => made.close(new Error("the test is over")));
  return made;
}

const asking = (fetch: typeof globalThis.fetch, url: string, init: RequestInit = {}) =>
  fetch(url, { method: "POST", body: "{}", headers: { "content-type": "application/json" }, ...init });

/** The failure of a request that must have one. */
async function failureOf(asked: Promise<unknown>): Promise<CallError> {
  const error = await asked.then(
    () => new Error("it was answered"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TransportError)) throw error;
  return error.failure;
}

describe("compressed bodies", () => {
  const CODINGS: [string, (text: string) => Buffer][] = [
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["GZIP", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
    ["identity, gzip", gzipSync],
    ["gzip, br", (text) => brotliCompressSync(gzipSync(text))],
    ["", gzipSync],
    ["utf-8", (text) => Buffer.from(text)],
    ["gzip", (text) => Buffer.from(text)],
    ["", (text) => Buffer.from(`\ufeff${text}`)],
  ];

  test.for(CODINGS)("%s", async ([coding, encode]) => {
    const url = await serve(({ headers }, response) => {
      response.setHeader("x-asked", String(headers["accept-encoding"]));
      if (coding !== "") response.setHeader("content-encoding", coding);
      response.statusCode = headers["x-want"] === "error" ? 400 : 200;
      response.end(encode('{"error":{"message":"Grüße"}}'));
    });
    const { fetch } = transport();
    const good = await asking(fetch, url);
    expect([good.headers.get("x-asked"), await good.text()]).toEqual(["identity", '{"error":{"message":"Grüße"}}']);
    const bad = await asking(fetch, url, { headers: { "x-want": "error", "accept-encoding": "gzip" } });
    expect([bad.status, JSON.parse(await bad.text())]).toEqual([400, { error: { message: "Grüße" } }]);
  });
});

describe("large bodies", () => {
  test.for([
    ["one that never ends", 200, (write: (text: string) => boolean) => write(" ".repeat(50_000))],
    ["a bomb", 200, null],
  ] as const)("%s is given up, and the failure names the key of the config", async ([, status, endless]) => {
    const url = await serve((_, response) => {
      response.statusCode = status;
      if (!endless) {
        response.setHeader("content-encoding", "gzip").end(gzipSync(Buffer.alloc(30_000_000, " ")));
        return;
      }
      const timer = setInterval(() => endless((text) => response.write(text)), 1);
      response.on("close", () => clearInterval(timer));
    });
    const failure = await failureOf(asking(transport().fetch, url));
    expect(failure).toMatchObject({ reason: "broken", details: { httpStatus: 200, hasLeft: true } });
    expect(failure.message).toMatch(/larger than the 0\.1 MB.*max_answer_mb/);
  });

  test("of an error its status decides, and 1 MB is read", async () => {
    let sent = 0;
    const url = await serve((_, response) => {
      response.statusCode = 429;
      const timer = setInterval(() => {
        sent += 100_000;
        response.write(" ".repeat(100_000));
      }, 1);
      response.on("close", () => clearInterval(timer));
    });
    expect((await asking(transport().fetch, url)).status).toBe(429);
    expect(sent).toBeLessThan(20_000_000);
  });

  test("a body in single bytes is put together", async () => {
    const url = await serve((_, response) => {
      for (const byte of "x".repeat(5_000)) response.write(byte);
      response.end();
    });
    expect(await (await asking(transport().fetch, url)).text()).toBe("x".repeat(5_000));
  });

  test("together they hold 64 MB: then only the oldest goes on, until it has ended", async () => {
    const piece = Buffer.alloc(1_000_000);
    const bodies = Array.from({ length: 10 }, () => new Body(10_000_000));
    const resumed: number[] = [];
    const add = (index: number) => bodies[index]?.add(piece, () => resumed.push(index));
    for (let round = 0; round < 6; round += 1) for (const index of bodies.keys()) expect(add(index)).toBe("more");
    for (const index of [0, 1, 2, 3]) expect(add(index)).toBe("more");
    expect([add(4), add(5), add(0), add(0), add(0)]).toEqual(["wait", "wait", "more", "more", "more"]);
    expect(add(0)).toBe("full");
    expect(resumed).toEqual([]);
    bodies[0]?.end();
    // In the middle of an answer, undici takes nothing else up.
    expect(resumed).toEqual([]);
    await sleep(1);
    expect(resumed).toEqual([4, 5]);
    for (const body of bodies) body.end();
  });

  test.each(["its length", "no length"])(
    "answers with %s wait for others, and all come in the end",
    async (how) => {
      const size = 9_000_000;
      const url = await serve((_, response) => {
        if (how === "its length") response.setHeader("content-length", size);
        else response.flushHeaders();
        response.end(Buffer.alloc(size, "x"));
      });
      const { fetch } = transport({ ...LIMIT, maxAnswerBytes: 10_000_000 });
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => (await (await asking(fetch, url)).text()).length),
      );
      expect(answers).toEqual(Array.from({ length: 20 }, () => size));
    },
    30_000,
  );
});

describe("redirects of a request", () => {
  test.for([301, 307, 308])("%i to the same server keeps method, body and key", async (status) => {
    const seen: unknown[] = [];
    const url = await serve(({ url: path, method, headers }, response) => {
      seen.push([path, method, headers.authorization]);
      if (path === "/v1") response.writeHead(status, { location: "/v1/?a=1" }).end();
      else response.end("done");
    });
    const response = await asking(transport().fetch, `${url}/v1`, { headers: { authorization: "Bearer key" } });
    expect(await response.text()).toBe("done");
    expect(seen).toEqual([
      ["/v1", "POST", "Bearer key"],
      ["/v1/?a=1", "POST", "Bearer key"],
    ]);
  });

  test("no other is followed: the answer says where it leads", async () => {
    const elsewhere = vi.fn<RequestListener>((_, response) => void response.end());
    const other = await serve(elsewhere);
    const redirects: [number, string][] = [
      [302, "/login?secret=1"],
      [303, "/login"],
      [300, "/login"],
      [308, `${other}/login?secret=1`],
      [307, `http://user:secret@${new URL(other).host}/login`],
      [307, "file:///login"],
      [308, "/loop"],
    ];
    const url = await serve(({ url: path = "" }, response) => {
      const [status, location] = redirects[Number(path.slice(1))] ?? [308, "/loop"];
      response.writeHead(status, { location }).end();
    });
    const { fetch } = transport();
    for (const [index, [status]] of redirects.entries()) {
      const response = await asking(fetch, `${url}/${index}`);
      expect([index, response.status]).toEqual([index, status]);
      const text = await response.text();
      expect(text).toMatch(/redirect to \w+:\/\/.*(login|loop)/);
      expect(text).not.toContain("secret");
    }
    expect(elsewhere).not.toHaveBeenCalled();
  });

  test("none leads from https to http", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    onTestFinished(() => void vi.unstubAllEnvs());
    const plain = vi.fn<RequestListener>((_, response) => void response.end());
    const { port } = new URL(await serve(plain));
    const url = await serveTls((_, response) => {
      response.writeHead(308, { location: `http://127.0.0.1:${port}/` }).end();
    });
    expect((await asking(transport().fetch, url)).status).toBe(308);
    expect(plain).not.toHaveBeenCalled();
  });

  test("one leads from http to https on the same host", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    onTestFinished(() => void vi.unstubAllEnvs());
    const secure = await serveTls((_, response) => void response.end("secure"));
    const url = await serve((_, response) => void response.writeHead(308, { location: secure }).end());
    expect(await (await asking(transport().fetch, url)).text()).toBe("secure");
  });
});

describe("redirects of files", () => {
  const HEADERS = { authorization: "Bearer key", "x-custom": "secret" };

  test("contents are fetched elsewhere without the key or any other header", async () => {
    const seen: unknown[] = [];
    const storage = await serve(({ headers }, response) => {
      seen.push([headers.authorization, headers["x-custom"]]);
      response.end("line");
    });
    const url = await serve(({ headers, url: path }, response) => {
      seen.push([headers.authorization, headers["x-custom"]]);
      const location = path === "/files/a/content" ? "/moved/content" : `${storage}/signed`;
      response.writeHead(302, { location }).end();
    });
    const response = await createFileFetch(LIMIT)(`${url}/files/a/content`, { headers: HEADERS });
    expect(await response.text()).toBe("line");
    expect(seen).toEqual([
      ["Bearer key", "secret"],
      ["Bearer key", "secret"],
      [undefined, undefined],
    ]);
  });

  test.for([
    ["GET", "/batches", 302],
    ["GET", "/batches", 308],
    ["POST", "/batches", 307],
    ["POST", "/files", 307],
  ] as const)("nothing else is asked elsewhere: %s %s, %i", async ([method, path, status]) => {
    const elsewhere = vi.fn<RequestListener>((_, response) => void response.end());
    const other = await serve(elsewhere);
    const url = await serve((_, response) => void response.writeHead(status, { location: `${other}${path}` }).end());
    const body = method === "POST" ? { body: "{}" } : {};
    const response = await createFileFetch(LIMIT)(`${url}${path}`, { method, headers: HEADERS, ...body });
    expect([response.status, await response.text()]).toEqual([status, expect.stringContaining(`${other}${path}`)]);
    expect(elsewhere).not.toHaveBeenCalled();
  });

  test("an answer that is too large is given up", async () => {
    const url = await serve((_, response) => void response.end(Buffer.alloc(200_000, " ")));
    expect(await failureOf(createFileFetch(LIMIT)(`${url}/batches`))).toMatchObject({ reason: "broken" });
  });

  test("fail for want of time where the time for them is over", async () => {
    const url = await serve(() => {});
    const asked = createFileFetch(LIMIT)(`${url}/batches`, { signal: AbortSignal.timeout(100) });
    expect(await failureOf(asked)).toMatchObject({ reason: "timeout", details: { hasLeft: true } });
  });
});

describe("whether a request has left", () => {
  const proxied = (variable: string, url: string) => {
    vi.stubEnv(variable, url);
    onTestFinished(() => void vi.unstubAllEnvs());
  };
  const tunnel = async (status: number) => {
    const proxy = createServer((_, response) => void response.writeHead(status).end());
    proxy.on("connect", (_, socket) => socket.end(`HTTP/1.1 ${status} No\r\n\r\n`));
    return `http://127.0.0.1:${await listen(proxy)}`;
  };

  test("not where the certificate is not trusted", async () => {
    const failure = await failureOf(asking(transport().fetch, await serveTls((_, response) => void response.end())));
    expect(failure).toMatchObject({ reason: "bad_certificate", details: { hasLeft: false } });
    expect(failure.message).toMatch(/self-signed/);
  });

  test("not where TLS is spoken to a server without", async () => {
    const url = await serve((_, response) => void response.end());
    const failure = await failureOf(asking(transport().fetch, url.replace("http:", "https:")));
    expect(failure).toMatchObject({ reason: "wrong_protocol", details: { hasLeft: false } });
  });

  test("a server that answers HTTP with TLS is reported as such", async () => {
    const port = await listen(
      createTcpServer((socket) => socket.once("data", () => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 70])))),
    );
    expect(await failureOf(asking(transport().fetch, `http://127.0.0.1:${port}`))).toMatchObject({
      reason: "wrong_protocol",
    });
  });

  test.for([
    [407, "proxy_refused"],
    [403, "proxy_refused"],
    [502, "connection"],
    [503, "connection"],
  ] as const)("not where the proxy answers %i: %s", async ([status, reason]) => {
    proxied("HTTPS_PROXY", await tunnel(status));
    const failure = await failureOf(asking(transport().fetch, "https://models.invalid/v1"));
    expect(failure).toMatchObject({ reason, message: `the proxy answered ${status}`, details: { hasLeft: false } });
  });

  test("not where a proxy without a tunnel wants a password", async () => {
    proxied("HTTP_PROXY", await tunnel(407));
    expect(await failureOf(asking(transport().fetch, "http://models.invalid/v1"))).toMatchObject({
      reason: "proxy_refused",
      details: { hasLeft: false },
    });
  });

  test("not where nobody listens, or the name is unknown", async () => {
    for (const url of ["http://127.0.0.1:1/v1", "http://models.invalid/v1"]) {
      expect(await failureOf(asking(transport().fetch, url))).toMatchObject({
        reason: "connection",
        details: { hasLeft: false },
      });
    }
  });

  test("not where the time is up before TLS is agreed on, but where it is up before an answer", async () => {
    const silent = await listen(createTcpServer(() => {}));
    const asked = (url: string) =>
      failureOf(asking(transport().fetch, url, { signal: AbortSignal.timeout(200) })).then(
        ({ reason, details: { hasLeft } }) => [reason, hasLeft],
      );
    expect(await asked(`https://127.0.0.1:${silent}`)).toEqual(["connection", false]);
    expect(await asked(`http://127.0.0.1:${silent}`)).toEqual(["timeout", true]);
  });

  test("where the connection breaks before an answer", async () => {
    const port = await listen(createTcpServer((socket) => socket.once("data", () => socket.destroy())));
    expect(await failureOf(asking(transport().fetch, `http://127.0.0.1:${port}`))).toMatchObject({
      reason: "connection",
      details: { hasLeft: true },
    });
  });
});

describe("connections that are kept", () => {
  test("one that receives a second answer is closed, and no answer is taken for another's", async () => {
    const reply = (text: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
    const port = await listen(
      createTcpServer((socket) => {
        socket.on("data", (data) => {
          const asked = /"ask":"(\w+)"/.exec(data.toString())?.[1] ?? "";
          socket.write(reply(asked));
          setTimeout(() => socket.writable && socket.write(reply(`${asked}-again`)), 1 + 2 * Math.random());
        });
      }),
    );
    const { fetch } = transport();
    const answers: [string, string][] = [];
    await Promise.all(
      ["a", "b", "c", "d"].map(async (worker) => {
        for (let n = 0; n < 20; n += 1) {
          const ask = `${worker}${n}`;
          const response = await asking(fetch, `http://127.0.0.1:${port}`, { body: JSON.stringify({ ask }) });
          answers.push([ask, await response.text()]);
          await sleep(Math.random() * 3);
        }
      }),
    );
    expect(answers.filter(([ask, answer]) => ask !== answer)).toEqual([]);
  });

  test.for([
    ["in one piece with the answer", 0],
    ["some time before it", 20],
  ] as const)("one that says 100 Continue unasked goes on: %s", async ([, ms]) => {
    let connections = 0;
    const port = await listen(
      createTcpServer((socket) => {
        connections += 1;
        socket.on("data", () => {
          const early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\nserver: x\r\n\r\n";
          const answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";
          if (ms === 0) socket.write(early + answer);
          else {
            socket.write(early);
            setTimeout(() => socket.write(answer), ms);
          }
        });
      }),
    );
    const { fetch } = transport();
    for (let n = 0; n < 3; n += 1) {
      expect(await (await asking(fetch, `http://127.0.0.1:${port}`)).text()).toBe("yes");
      await sleep(40);
      // In a busy process, timers that are due together end before what they have put off.
      await turn();
    }
    expect(connections).toBe(1);
  });

  test("one that receives a second answer while the process is busy is not used either", async () => {
    const reply = (text: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
    const sockets: Socket[] = [];
    const port = await listen(
      createTcpServer((socket) => {
        sockets.push(socket);
        socket.on("data", () => socket.write(reply("asked for")));
      }),
    );
    const { fetch } = transport();
    const ask = () => asking(fetch, `http://127.0.0.1:${port}`);
    await (await ask()).text();
    sockets[0]?.write(reply("again"));
    const busyUntil = performance.now() + 50;
    while (performance.now() < busyUntil);
    expect(await (await ask()).text()).toBe("asked for");
  });

  test("one that has rested is used again", async () => {
    const ports = new Set<number | undefined>();
    const url = await serve(({ socket }, response) => {
      ports.add(socket.remotePort);
      response.end("x");
    });
    const { fetch } = transport();
    for (let n = 0; n < 5; n += 1) {
      await (await asking(fetch, url)).text();
      await sleep(40);
      // In a busy process, timers that are due together end before what they have put off.
      await turn();
    }
    expect(ports.size).toBe(1);
  });
});
