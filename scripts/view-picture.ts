// Makes docs/view.png: the page of the built bin in a browser, with the sample data. No model is asked.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openBrowser } from "../test/support/browser.ts";

const ROOT = resolve(import.meta.dirname, "..");
const BIN = join(ROOT, "dist/main.js");
const SIZE = { width: 1060, height: 520 };

const folder = mkdtempSync(join(tmpdir(), "datagen-picture-"));
try {
  for (const name of ["configs", "data"]) {
    const files = execFileSync("git", ["ls-files", name], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
    for (const file of files) cpSync(join(ROOT, file), join(folder, file));
  }
  const options = { cwd: folder, env: { PATH: process.env["PATH"], HOME: folder } };
  const config = "configs/summarization.json";
  const flags = ["--provider", "offline", "--name", "Sample summaries", "--no-export"];
  execFileSync(process.execPath, [BIN, "run", config, ...flags], { ...options, stdio: "ignore" });
  const server = spawn(process.execPath, [BIN, "view", "latest", "--no-open"], options);
  await using browser = await openBrowser();
  try {
    const [url] = (await once(server.stdout, "data")) as [Buffer];
    const page = await browser.newPage({ viewport: SIZE, colorScheme: "light", reducedMotion: "reduce" });
    await page.goto(url.toString().trim());
    await page.getByRole("gridcell").nth(20).waitFor();
    await page.screenshot({ path: join(ROOT, "docs/view.png") });
  } finally {
    server.kill();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
