#!/usr/bin/env node
// Nothing may be imported before this check: on an older Node the database's native code crashes.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `datagen needs Node 22.19 or newer, and this is Node ${process.versions.node}; in a clone, \`npx datagen\` uses the Node that npm ci installed.\n`,
  );
  process.exitCode = 2;
} else {
  // Garbage is collected early: the heap does not grow with the length of a run, and to no more than twice what is used.
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--heap-growing-percent=100");
  // What was compiled once is compiled for all later starts.
  process.getBuiltinModule("node:module").enableCompileCache();
  const { start } = await import("./cli/start.ts");
  process.exitCode = await start(process.argv.slice(2));
}
