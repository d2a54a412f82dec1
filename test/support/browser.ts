import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Browser, chromium, type LaunchOptions, type Page } from "playwright-core";
import { expect } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const PACKED = join(ROOT, "node_modules/@sparticuz/chromium");

/** A real browser. On Linux it is the one that an npm package ships, elsewhere an installed Chrome. */
export async function openBrowser(): Promise<Browser> {
  const isPacked = process.platform === "linux" && process.arch === "x64";
  return await chromium.launch({
    // As root, which is common in containers, Chromium has no sandbox. It opens only what the tests serve.
    chromiumSandbox: false,
    args: ["--disable-gpu"],
    ...(isPacked ? await packedBrowser() : { channel: "chrome" }),
  });
}

/** Unpacks the browser once, with the system libraries and the fonts that a small machine may lack. */
async function packedBrowser(): Promise<LaunchOptions> {
  const { version } = JSON.parse(await readFile(join(PACKED, "package.json"), "utf8")) as { version: string };
  const cache = join(ROOT, "node_modules/.cache");
  const folder = join(cache, `chromium-${version}`);
  if (!existsSync(folder)) {
    await mkdir(cache, { recursive: true });
    const part = await mkdtemp(join(cache, "chromium-"));
    await unpack(part);
    // Another file of tests may have been faster.
    await rename(part, folder).catch(() => rm(part, { recursive: true }));
  }
  const hasFonts = existsSync("/etc/fonts/fonts.conf");
  return {
    executablePath: join(folder, "chromium"),
    env: {
      PATH: process.env["PATH"],
      HOME: folder,
      LD_LIBRARY_PATH: join(folder, "al2023/lib"),
      ...(!hasFonts && { FONTCONFIG_PATH: join(folder, "fonts") }),
    },
  };
}

/** The package unpacks into the folder of temporary files. */
async function unpack(folder: string): Promise<void> {
  const { inflate } = await import("@sparticuz/chromium");
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = folder;
  try {
    for (const name of ["chromium.br", "al2023.tar.br", "fonts.tar.br"]) await inflate(join(PACKED, "bin", name));
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
}

/** What a page did that it must not do. */
export interface Watched {
  page: Page;
  /** Errors, violations of policies, dialogs, and requests to other places. */
  offences: string[];
}

/** Opens a page in a context of its own, and records its offences. @param allowed what the URLs that it may ask begin with */
export async function watchedPage(
  browser: Browser,
  allowed: string,
  options: { isDark?: boolean } = {},
): Promise<Watched> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    colorScheme: options.isDark ? "dark" : "light",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const offences: string[] = [];
  page.on("pageerror", (error) => offences.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") offences.push(`console: ${message.text()}`);
  });
  page.on("dialog", (dialog) => {
    offences.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("response", (response) => {
    if (response.status() >= 400) offences.push(`${response.status()}: ${response.url()}`);
  });
  page.on("popup", (popup) => offences.push(`popup: ${popup.url()}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(allowed)) offences.push(`request: ${request.url()}`);
  });
  await page.addInitScript(
    `addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
       console.error("policy: " + [violatedDirective, blockedURI, sample].join(" ")));`,
  );
  return { page, offences };
}

/** Fails with what axe finds on a page. @param isOnlyContrast for another colour scheme, which changes nothing else */
export async function expectAccessible(page: Page, what: string, isOnlyContrast = false): Promise<void> {
  if (!(await page.evaluate<boolean>('"axe" in globalThis'))) {
    // By the debugger, because the page's policy forbids other scripts.
    await page.evaluate((await import("axe-core")).default.source);
  }
  const found = await page.evaluate<string[]>(
    `axe.run(document, ${isOnlyContrast ? '{ runOnly: ["color-contrast"] }' : "{}"}).then(({ violations }) =>
       violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) => [id, node.html, node.failureSummary].join(" "))))`,
  );
  expect(found, what).toEqual([]);
}
