import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Shell } from "../../view/api.ts";

/* The page and the threads are files of the build that are not modules of the bin; scripts/build.ts writes them. */

/** The file of the thread that reads. */
export function workerFile(): URL {
  return pathToFileURL(builtFile("worker.js"));
}

/** The file of the thread that computes statistics. */
export function statisticsWorkerFile(): URL {
  return pathToFileURL(builtFile("statistics-worker.js"));
}

/** The files of the empty page. */
export function shellFiles(): Shell {
  const read = (name: string) => readFileSync(builtFile(name), "utf8");
  return { html: read("index.html"), js: read("app.js"), css: read("app.css") };
}

// The path differs between the sources and the bundle.
function builtFile(name: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "dist", "view", name);
}
