// Records docs/demo.svg: what the built bin prints in a terminal of 100 columns, line by line. No model is asked.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const COMMANDS = [
  "datagen run configs/peer_review.json --provider offline",
  "datagen run configs/peer_review.json --provider offline --name again",
  "datagen runs list",
];

const ROOT = resolve(import.meta.dirname, "..");
const LINE = 18;
const MARGIN = 14;
/** The advance of a character of 13 px in most monospace fonts. */
const CHARACTER = 7.8;
const LONGEST_LINE = 110;
/** In seconds: after a command, after a line of its output, and at the end, before it begins again. */
const PAUSES = { command: 0.9, line: 0.22, end: 6 };

interface Line {
  text: string;
  isCommand: boolean;
  at: number;
}

function record(): { lines: Line[]; seconds: number } {
  const folder = mkdtempSync(join(tmpdir(), "datagen-demo-"));
  const lines: Line[] = [];
  let at = 0.5;
  try {
    for (const name of ["configs", "data"]) {
      const files = execFileSync("git", ["ls-files", name], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
      for (const file of files) cpSync(join(ROOT, file), join(folder, file));
    }
    for (const command of COMMANDS) {
      lines.push({ text: `$ ${command}`, isCommand: true, at });
      at += PAUSES.command;
      const { stdout, status } = spawnSync(
        "sh",
        ["-c", `exec "$0" "$1" ${command.replace(/^datagen /, "")} 2>&1`, process.execPath, join(ROOT, "dist/main.js")],
        {
          cwd: folder,
          encoding: "utf8",
          env: { PATH: process.env["PATH"], HOME: folder, NO_COLOR: "1", COLUMNS: "100" },
        },
      );
      if (status !== 0) throw new Error(`${command} failed:\n${stdout}`);
      for (const text of stdout.trimEnd().split("\n")) {
        lines.push({ text, isCommand: false, at });
        at += PAUSES.line;
      }
      lines.push({ text: "", isCommand: false, at });
      at += PAUSES.command;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { lines: lines.slice(0, -1), seconds: at + PAUSES.end };
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Lines appear one after the other. Where nothing moves, such as in print, all of them are there. */
function svgOf({ lines, seconds }: ReturnType<typeof record>): string {
  const longest = Math.max(...lines.map(({ text }) => text.length));
  if (longest > LONGEST_LINE) throw new Error(`a line has ${longest} characters, which is too wide for a picture`);
  const [width, height] = [Math.ceil(2 * MARGIN + longest * CHARACTER), 2 * MARGIN + lines.length * LINE];
  const shown = lines.map(({ text, isCommand, at }, row) => {
    const y = MARGIN + (row + 0.75) * LINE;
    const from = ((at / seconds) * 100).toFixed(2);
    return text === ""
      ? ""
      : `<style>@keyframes l${row}{0%,${from}%{opacity:0}${from}1%,100%{opacity:1}}</style><text x="${MARGIN}" y="${y}"${
          isCommand ? ' class="c"' : ""
        } style="animation:l${row} ${seconds.toFixed(1)}s step-end infinite">${escaped(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="datagen in a terminal">
<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d0d7de;white-space:pre}.c{fill:#7ee787}@media (prefers-reduced-motion:reduce),print{text{animation:none!important}}</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${shown.filter((line) => line !== "").join("\n")}
</svg>
`;
}

writeFileSync(join(ROOT, "docs/demo.svg"), svgOf(record()));
