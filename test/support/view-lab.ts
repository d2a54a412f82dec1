import type { IncomingCall } from "./server.ts";
import type { Fault } from "./faults.ts";
import { openLab } from "./lab.ts";

/** Texts that would run, load, or hide something if a page took them for more than letters. */
const PAYLOADS = [
  "<script>globalThis.ran = 1; alert(1)</script>",
  "<img src=x onerror=alert(2)>",
  '"><svg onload=alert(3)>',
  "</script></style><!--<script>alert(4)//",
  "<a href=https://example.com/>x</a><iframe src=javascript:alert(5)></iframe>",
  "javascript:alert(6)",
  "{{constructor.constructor('alert(7)')()}}",
  "\u202egnp.exe\u202c \u200b \u0007 \u001b[31m \u2028",
];

/** All of them in one text. */
export const HOSTILE = PAYLOADS.join(" ");

/** The text as the page shows it: with marks for characters that nobody would see. */
export function shownLetters(text: string): string {
  return text.replaceAll(
    // oxlint-disable-next-line no-control-regex -- this expression finds control characters
    /[\u0000-\u001f\u200b\u2028\u202c\u202e]/g,
    (character) => `[U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`,
  );
}

const INPUTS = 20;

const PERSPECTIVES = [
  { condition: "Faithful: plain", reading: null, strategy: "Translate the German text into English." },
  { condition: "Faithful: noted", reading: "Take notes.", strategy: "Write from the notes." },
  { condition: "Hasty", reading: null, strategy: "Be quick." },
  { condition: `Hostile: ${HOSTILE}`, reading: "Take hostile notes.", strategy: `Be hostile. ${HOSTILE}` },
];

/** What the model says to an input under a condition. */
function answerOf({ prompt, model }: IncomingCall): Fault {
  const input = /input (\d+)/.exec(prompt)?.[1] ?? "0";
  const long = "word ".repeat(30 + Number(input));
  if (prompt.includes("hostile")) return { kind: "text", text: `${HOSTILE} input ${input}` };
  if (prompt.startsWith("Translate") && input === "1") {
    return { kind: "status", status: 400, message: HOSTILE, code: "invalid_prompt" };
  }
  if (prompt.startsWith("Translate")) {
    const isOdd = model === "gpt-4o" && input === "5";
    return { kind: "text", text: isOdd ? "nothing in common at all" : `plain answer to input ${input} ${long}` };
  }
  if (prompt.startsWith("Be quick")) {
    return { kind: "text", text: `short ${input}`, ...((input === "4" || input === "14") && { cut: true }) };
  }
  const begun = input === "13" ? "Certainly! A noted" : "noted";
  return { kind: "text", text: `${begun} answer to input ${input} ${long}` };
}

/**
 * Two runs with answers of every kind: of 20 inputs, and with another model of 10, where some answers are reused. In every
 * field that the page shows stand hostile texts.
 */
export async function viewLab() {
  const data = Array.from({ length: INPUTS }, (_, at) => ({
    input: at === 0 ? `${HOSTILE} input 0` : `This is input ${at}. ${"Ein Satz. ".repeat(80)}the very end of the input`,
    reference: at === 0 ? HOSTILE : `The reference ${at}`,
  }));
  const lab = await openLab({ config: { agent_perspectives: PERSPECTIVES }, data, server: { behave: answerOf } });
  const idIn = (stdout: string) => (JSON.parse(stdout) as { run: { id: string } }).run.id;
  const run = async (...flags: string[]) =>
    idIn((await lab.datagen("run", "config.json", "--no-export", "--json", ...flags)).stdout);
  const first = await run("--name", HOSTILE);
  await run("--model", "gpt-4o", "--sample-size", "8");
  const second = await run("--model", "gpt-4o", "--sample-size", "10");
  return { lab, runs: { first, second } };
}
