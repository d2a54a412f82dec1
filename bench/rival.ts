import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Folder, run, type Server } from "./lab.ts";
import { callsPerSecond, cpuPerCall, type Inputs, measured, type Measured } from "./measured.ts";
import { milliseconds, type Row } from "./table.ts";
import { CONCURRENCY, inputs, instructions, SLOW } from "./workload.ts";

const PROMPTFOO = "promptfoo@0.123.1";

/** The folder where rivals are installed. Git ignores it. */
const RIVALS = join(import.meta.dirname, ".rivals");

/** Installs promptfoo if it is missing, which takes a minute and 2.5 GB. @returns its bin */
function install(): string {
  const bin = join(RIVALS, "node_modules", "promptfoo", "dist", "src", "entrypoint.js");
  if (existsSync(bin)) return bin;
  process.stderr.write(`installing ${PROMPTFOO} into bench/.rivals\n`);
  mkdirSync(RIVALS, { recursive: true });
  writeFileSync(join(RIVALS, "package.json"), '{"private": true}\n');
  const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", PROMPTFOO];
  execFileSync("npm", args, { cwd: RIVALS, stdio: ["ignore", "ignore", "inherit"] });
  return bin;
}

/**
 * Measures promptfoo with the same prompts, inputs and server, without its cache, and compares it with datagen.
 * @param datagen the same calls, made by datagen
 */
export async function measureRival(
  server: Server,
  { few, many }: Inputs,
  datagen: { callsPerSecond: number; cpuPerCall: number },
): Promise<Row[]> {
  const bin = install();
  const short = await promptfoo(server, bin, few, CONCURRENCY);
  const long = await promptfoo(server, bin, many, CONCURRENCY);
  const asItComes = await promptfoo(server, bin, few);
  const cpu = cpuPerCall(short, long);
  const calls = long.calls.toLocaleString("en");
  const perSecond = Math.round(datagen.callsPerSecond).toLocaleString("en");
  return [
    {
      what: "the same: calls per second",
      datagen: perSecond,
      other: `promptfoo, ${calls} calls, ${CONCURRENCY} in flight: ${Math.round(callsPerSecond(long))}`,
      ratio: { value: datagen.callsPerSecond / callsPerSecond(long), atLeast: 10 },
    },
    {
      what: "of that",
      datagen: perSecond,
      other: `promptfoo with its own number in flight: ${Math.round(callsPerSecond(asItComes))}`,
      ratio: { value: datagen.callsPerSecond / callsPerSecond(asItComes) },
    },
    {
      what: "the same: CPU time per call",
      datagen: milliseconds(datagen.cpuPerCall),
      other: `promptfoo, ${calls} calls, ${CONCURRENCY} in flight: ${milliseconds(cpu)}`,
      ratio: { value: datagen.cpuPerCall / cpu, atMost: 1 / 12 },
    },
  ];
}

/** @param concurrency default: promptfoo's own */
async function promptfoo(server: Server, bin: string, count: number, concurrency?: number): Promise<Measured> {
  using folder = new Folder();
  const config = {
    prompts: instructions().map((way) => `${way}\n\n\`\`\`{{input}}\`\`\`${way}\n\n`),
    providers: [
      {
        id: "openai:chat:gpt-4o-mini",
        config: { apiBaseUrl: server.url, apiKey: "none", max_tokens: 500, temperature: 0.7 },
      },
    ],
    tests: inputs(count).map((input) => ({ vars: { input } })),
  };
  writeFileSync(folder.at("promptfoo.json"), JSON.stringify(config));
  await server.behave(SLOW);
  const flags = ["--no-cache", "--no-progress-bar", "--no-table", "--no-share"];
  if (concurrency !== undefined) flags.push("--max-concurrency", String(concurrency));
  const done = await run([bin, "eval", "-c", "promptfoo.json", ...flags], {
    cwd: folder.path,
    env: {
      PROMPTFOO_CONFIG_DIR: folder.at("home"),
      PROMPTFOO_DISABLE_TELEMETRY: "1",
      PROMPTFOO_DISABLE_UPDATE: "1",
      PROMPTFOO_DISABLE_REMOTE_GENERATION: "1",
    },
    withUsage: true,
  });
  return await measured(server, done, count);
}
