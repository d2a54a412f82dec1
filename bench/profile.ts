import { readdirSync, readFileSync } from "node:fs";
import { DATAGEN, Folder, run, type Server } from "./lab.ts";
import { markdown } from "./table.ts";
import { PERSPECTIVES, SLOW, writeWorkload } from "./workload.ts";

/** The part of V8's CPU profiles that is read. Times are in microseconds. */
interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string }; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

type Frame = CpuProfile["nodes"][number]["callFrame"];

const INPUTS = 500;

/** The parts of a run, each with the functions that begin it. A function that is called belongs to the part of its caller. */
const PARTS: { what: string; begins: (frame: Frame) => boolean }[] = [
  { what: "idle", begins: ({ functionName }) => functionName === "(idle)" },
  { what: "garbage collection", begins: ({ functionName }) => functionName === "(garbage collector)" },
  {
    what: "undici: connections, HTTP, and the system's writes and reads",
    begins: ({ url }) => url.includes("/node_modules/undici/"),
  },
  { what: "the SDK", begins: ({ url }) => url.includes("/node_modules/openai/") },
  {
    what: "SQLite: the statements of results and attempts",
    begins: ({ functionName, url }) => isOurs(url) && /^(storeResults|openAttempts|checkLease)\d*$/.test(functionName),
  },
  {
    what: "SQLite: transactions, nearly all of it their commits",
    begins: ({ url }) => url.endsWith("better-sqlite3/lib/methods/transaction.js"),
  },
  {
    what: "choosing the next calls, and rendering their requests",
    begins: ({ functionName, url }) => isOurs(url) && /^pick\d*$/.test(functionName),
  },
  {
    what: "sending, keys, and reading answers",
    begins: ({ functionName, url }) =>
      isOurs(url) && /^(perform|send|fetch|complete|parseJson|sha256|answered)\d*$/.test(functionName),
  },
  {
    what: "estimate, and planning",
    begins: ({ functionName, url }) => isOurs(url) && /^(createRun|eachInput|Bpe|showSummary)\d*$/.test(functionName),
  },
  {
    what: "loading modules, once",
    begins: ({ functionName, url }) =>
      functionName === "evaluate" || /^node:internal\/(main|bootstrap|modules)\//.test(url),
  },
];

function isOurs(url: string): boolean {
  return url.includes("/dist/");
}

/** How the time of a run is spent, per call: a table in Markdown. */
export async function profileCalls(server: Server): Promise<string> {
  using folder = new Folder();
  writeWorkload({ config: folder.at("config.json"), data: folder.at("inputs.jsonl") }, INPUTS);
  await server.behave(SLOW);
  const flags = ["--cpu-prof", "--cpu-prof-dir=profile", "--cpu-prof-interval=500"];
  await run([...flags, DATAGEN, "run", "config.json", "--no-export", "--db", "runs.db"], {
    cwd: folder.path,
    env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "none" },
  });
  const [file = ""] = readdirSync(folder.at("profile"));
  const times = timesOf(JSON.parse(readFileSync(folder.at(`profile/${file}`), "utf8")) as CpuProfile);
  const idle = times.get("idle") ?? 0;
  times.delete("idle");
  const busy = [...times.values()].reduce((sum, time) => sum + time, 0);
  const calls = INPUTS * PERSPECTIVES;
  const line = (what: string, time: number, of: number) => [
    what,
    `${(time / calls).toFixed(0)} µs`,
    `${((100 * time) / of).toFixed(0)} %`,
  ];
  return markdown(
    ["part of the main thread's time", "a call", "of the work"],
    [
      ...[...times].toSorted(([, a], [, b]) => b - a).map(([what, time]) => line(what, time, busy)),
      line("all work", busy, busy),
      [`idle, while answers are on their way`, `${(idle / calls).toFixed(0)} µs`, ""],
    ],
  );
}

/** The time of each part. @returns microseconds by parts */
function timesOf({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const own = new Map<number, number>();
  for (const [at, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + (timeDeltas[at] ?? 0));
  const times = new Map<string, number>();
  const add = (id: number, of: string) => {
    const node = byId.get(id);
    if (!node) throw new Error(`the profile has no node ${id}`);
    const part = PARTS.find(({ begins }) => begins(node.callFrame))?.what ?? of;
    times.set(part, (times.get(part) ?? 0) + (own.get(id) ?? 0));
    for (const child of node.children ?? []) add(child, part);
  };
  const [root] = nodes;
  if (root) add(root.id, "Node's event loop, and everything else");
  return times;
}
