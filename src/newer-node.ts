// This module runs on a Node that is too old for datagen, so it uses only what old versions have.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";
import { isTooOld, tooOld } from "./node-version.ts";

/**
 * Starts datagen again with a newer Node that npm has installed beside it, in `node_modules`. If there is none, says how
 * to install one.
 */
export function startWithNewerNode(): void {
  const node = newerNode();
  if (node === null) {
    refuse();
    return;
  }
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], { stdio: "inherit" });
  // A terminal sends Ctrl-C and its own end to both processes; a second one would end the child at once.
  const hasTerminal = [0, 1, 2].some((stream) => isatty(stream));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const pass = (signal: NodeJS.Signals) => {
    if (signal === "SIGTERM" || !hasTerminal) child.kill(signal);
  };
  for (const signal of signals) process.on(signal, pass);
  child.on("error", refuse);
  child.on("exit", (code, signal) => {
    for (const each of signals) process.off(each, pass);
    if (signal === null) process.exitCode = code ?? 1;
    else process.kill(process.pid, signal);
  });
}

function refuse(): void {
  process.stderr.write(`${tooOld(`\`${installingLine()}\` installs one for it`)}\n`);
  process.exitCode = 2;
}

/** The path of a newer Node from the package `node`, in a `node_modules` where Node also looks for other packages. */
function newerNode(): string | null {
  try {
    const manifest = createRequire(import.meta.url).resolve("node/package.json");
    const node = join(dirname(manifest), "bin", process.platform === "win32" ? "node.exe" : "node");
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
    return isTooOld(version) || node === process.execPath || !existsSync(node) ? null : node;
  } catch {
    return null;
  }
}

/** The command that installs a Node where `newerNode` finds it. It leaves the machine's own Node as it is. */
function installingLine(): string {
  const root = packageFolder();
  const folder = dirname(root);
  if (basename(folder) !== "node_modules") return `npm ci --prefix ${quoted(root)}`;
  const project = dirname(folder);
  // Only a project has a package.json beside node_modules; the folder of global packages has none.
  if (existsSync(join(project, "package.json"))) return `npm i --prefix ${quoted(project)} node@24`;
  return "npm i -g --no-bin-links node@24";
}

/** The folder of datagen's own package.json. */
function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

function quoted(path: string): string {
  return /^[\w@%+=:,./\\-]+$/.test(path) ? path : JSON.stringify(path);
}
