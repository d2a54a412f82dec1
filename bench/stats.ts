import { rmSync } from "node:fs";
import { join } from "node:path";
import { DATAGEN, Folder, type Run, run, type Server } from "./lab.ts";
import { type Row, seconds } from "./table.ts";
import { PERSPECTIVES, writeWorkload } from "./workload.ts";

const CALLS = 1_000_000;
const INPUTS = Math.ceil(CALLS / PERSPECTIVES);
/** The calls that are answered between two times. */
const NEW = 1_000;
/** What the process may take. */
const MOST_MB = 300;

const PARTS = ["comparisons", "diversity", "duplicates", "similarity", "replicates"] as const;

/**
 * CPU time and memory of `datagen stats` at a million calls, whose answers and references have about 200 characters. CPU
 * time, because all of it is computed in one thread, and other programs disturb it less.
 */
export async function measureStats(server: Server): Promise<Row[]> {
  using folder = new Folder();
  const database = folder.at("large.db");
  const [config, data] = [folder.at("large.json"), folder.at("large.jsonl")];
  writeWorkload({ config, data }, INPUTS, { withReferences: true });
  const script = async (name: string, ...args: string[]): Promise<Run> =>
    await run([join(import.meta.dirname, "scripts", name), ...args], { cwd: folder.path, withUsage: true });
  await script("plan.ts", config, database, String(INPUTS), server.url);
  await script("fill.ts", database, String(NEW), "varied");
  const cpuOf = async (work: string): Promise<number> =>
    (JSON.parse((await script("stats.ts", database, work, folder.at("out.jsonl"))).stdout) as { ms: number }).ms;
  const stats = async (): Promise<Run> =>
    await run([DATAGEN, "stats", "latest", "--json", "--db", database], { cwd: folder.path, withUsage: true });

  const exporting = await cpuOf("export");
  const lengths = await cpuOf("lengths");
  const rows: Row[] = [
    {
      what: "stats of 1,000,000 calls: counts, lengths, latency and cost: CPU time",
      datagen: seconds(lengths),
      other: `exporting as JSON Lines: ${seconds(exporting)}`,
      ratio: { value: lengths / exporting, atMost: 3 },
    },
  ];
  const counted = await cpuOf("");
  for (const part of PARTS) {
    const own = (await cpuOf(part)) - counted;
    rows.push({ what: `of that, besides reading: ${part}`, datagen: seconds(own), other: "", ratio: null });
    rmSync(`${database}.features`, { force: true });
  }
  const first = await stats();
  await script("fill.ts", database, "0", "varied");
  const again = await stats();
  return [
    ...rows,
    {
      what: `all figures, after ${NEW.toLocaleString("en")} new answers: CPU time`,
      datagen: seconds(again.cpuMs),
      other: `the first time: ${seconds(first.cpuMs)}`,
      ratio: { value: again.cpuMs / first.cpuMs, atMost: 0.1 },
    },
    {
      what: "memory at 1,000,000 calls: stats",
      datagen: `${first.peakMb.toFixed(0)} MB`,
      other: `${MOST_MB} MB`,
      ratio: { value: first.peakMb / MOST_MB, atMost: 1 },
    },
  ];
}
