#!/usr/bin/env node
// Nothing else may be imported before this check: on an older Node the database's native code crashes.
import { isTooOld } from "./node-version.ts";

if (isTooOld(process.versions.node)) {
  const { startWithNewerNode } = await import("./newer-node.ts");
  startWithNewerNode();
} else {
  // Collect garbage early, so that the heap stays below twice the memory in use and does not grow with the run.
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--heap-growing-percent=100");
  // Later starts reuse the compiled code. Anyone who can write to that cache can make this user run code, so it is never
  // in the system's temporary folder, which is Node's default.
  const cache = ownCacheFolder();
  if (cache !== null) process.getBuiltinModule("node:module").enableCompileCache(cache);
  const { start } = await import("./cli/start.ts");
  process.exitCode = await start(process.argv.slice(2));
}

/** A cache folder that only this user can write, created if it is missing; null if there can be none. */
function ownCacheFolder(): string | null {
  const { lstatSync, mkdirSync } = process.getBuiltinModule("node:fs");
  const path = process.getBuiltinModule("node:path");
  try {
    const { XDG_CACHE_HOME: cache = "", LOCALAPPDATA: local = "" } = process.env;
    const home = process.getBuiltinModule("node:os").homedir();
    const places = { win32: local, darwin: path.join(home, "Library", "Caches") } as Record<string, string>;
    const folder = path.isAbsolute(cache) ? cache : (places[process.platform] ?? path.join(home, ".cache"));
    if (!path.isAbsolute(folder)) return null;
    const own = path.join(folder, "datagen", "compiled");
    mkdirSync(own, { recursive: true, mode: 0o700 });
    const { uid, mode } = lstatSync(own);
    // Node reports no owners or modes on Windows, where the folder belongs to the user. A link has the mode 0777.
    const user = process.getuid?.();
    return user === undefined || (uid === user && (mode & 0o077) === 0) ? own : null;
  } catch {
    return null;
  }
}
