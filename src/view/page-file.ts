import { createHash } from "node:crypto";
import { ChunkWriter, type PageInput } from "./page-chunk.ts";
import type { PageHead } from "./page-data.ts";
import type { Statistics, ViewedRun } from "./rows.ts";

/** The program of the page, and its style. */
export interface PageShell {
  js: string;
  css: string;
}

/** How many characters of rows stand in one script. */
const CHUNK = 400_000;

/** How an exported page begins. */
const BEGINNING =
  '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="datagen view">\n';

/** Whether a file that begins like this is an exported page; with an id, whether it is one of that run. */
export function isPage(head: string, runId?: string): boolean {
  if (runId === undefined) return head.startsWith(BEGINNING);
  return head.startsWith(`${BEGINNING}${runMark(runId)}`);
}

function runMark(runId: string): string {
  return `<meta name="datagen-run" content="${escaped(runId)}">\n`;
}

/** One HTML file with a run: it needs no server and no network. The same run gives the same bytes every time. */
export function* pageFile(
  { js, css }: PageShell,
  viewed: ViewedRun,
  statistics: Statistics,
  inputs: Iterable<PageInput>,
): Generator<string> {
  const { id, name } = viewed.run;
  yield BEGINNING;
  yield runMark(id);
  yield `<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policyFor(checked(js), checked(css))}">
<meta name="color-scheme" content="light dark">
<title>${escaped(name ?? id)} · datagen</title>
<style>${css}</style>
<div id="app"></div>
<noscript>This page needs JavaScript.</noscript>
`;
  const head: PageHead = { viewed };
  yield `<script type="application/json" data-page="head">${inScript(JSON.stringify(head))}</script>\n`;
  yield `<script type="application/json" data-page="statistics">${inScript(JSON.stringify(statistics))}</script>\n`;
  let chunk = new ChunkWriter();
  for (const input of inputs) {
    chunk.add(input);
    if (chunk.size < CHUNK) continue;
    yield scriptOf(chunk);
    chunk = new ChunkWriter();
  }
  if (chunk.rows.length > 0) yield scriptOf(chunk);
  yield `<script>${js}</script>\n</html>\n`;
}

function scriptOf(chunk: ChunkWriter): string {
  const [first, last] = [chunk.rows[0]?.position, chunk.rows.at(-1)?.position];
  const json = inScript(chunk.json());
  return `<script type="application/json" data-page="rows" data-first="${first}" data-last="${last}">${json}</script>\n`;
}

/** Only this program and this style may do anything. Nothing can be asked of a server. */
function policyFor(js: string, css: string): string {
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  return [
    "default-src 'none'",
    `script-src ${hash(js)}`,
    `style-src ${hash(css)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/** A text of the build that may stand inside an element as it is. */
function checked(text: string): string {
  if (/<\/(script|style)|<!--|\r/i.test(text)) throw new Error("the page's program or style would end its own element");
  return text;
}

/** JSON that may stand inside a script. These characters occur only in strings, where JSON allows escapes. */
function inScript(json: string): string {
  return json.replaceAll(/[<\u2028\u2029]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function escaped(text: string): string {
  const safe = text.replaceAll(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  return safe.toWellFormed();
}
