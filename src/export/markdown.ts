/* Texts of others in Markdown and YAML, where nothing in them may be read as anything but text. */

/** A text within a line: a cell of a table, a heading, a part of a sentence. */
export function inline(text: string): string {
  return oneLine(text).replaceAll(/[\\`*_{}[\]<>#|~&$@!^]|:(?=\/\/)/g, String.raw`\$&`);
}

function oneLine(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .trim();
}

/** A text as a block that shows it as it is. */
export function fenced(text: string): string {
  const shown = text.toWellFormed().replaceAll(/(?![\n\t])\p{Cc}/gu, (control) => (control === "\r" ? "\n" : "\ufffd"));
  const longest = Math.max(2, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}text\n${shown}\n${fence}`;
}

/** A table. The cells are Markdown already. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}

/** A text as a scalar of YAML: JSON, but for characters that YAML does not print. */
export function scalar(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
