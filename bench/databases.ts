import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Folder, type Run, run, type Server } from "./lab.ts";
import { writeWorkload } from "./workload.ts";

/** A workload in a folder: its config and its data have one name. */
export interface Workload {
  name: string;
  /** How many inputs the data has. */
  inputs: number;
}

/** Plans a run in a database, which is created. @param inputs how many of the workload's */
export async function plan(
  folder: Folder,
  server: Server,
  { name, inputs: all }: Workload,
  database: string,
  inputs = all,
): Promise<Run> {
  const config = folder.at(`${name}.json`);
  writeWorkload({ config, data: folder.at(`${name}.jsonl`) }, all);
  const args = [config, folder.at(database), String(inputs), server.url];
  return await run([script("scripts/plan.ts"), ...args], { cwd: folder.path });
}

/** Answers the calls of the runs in a database, except for the last ones. */
export async function fill(folder: Folder, database: string, left: number): Promise<void> {
  await run([script("scripts/fill.ts"), folder.at(database), String(left)], { cwd: folder.path });
}

/** Removes a database. */
export function removeDatabase(folder: Folder, database: string): void {
  for (const suffix of ["", "-wal", "-shm", "-lock"]) rmSync(folder.at(database) + suffix, { force: true });
}

/** The path of a script of the bench. */
export function script(path: string): string {
  return join(import.meta.dirname, path);
}
