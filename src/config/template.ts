/** The values that every template may use besides columns of the row. */
const BUILT_IN = ["instruction", "text", "input", "reference"] as const;
type BuiltIn = (typeof BUILT_IN)[number];

/** A part of a template: a text as it is, a value that every prompt has, or the value of a column of the row. */
export type TemplatePart = string | { value: BuiltIn } | { column: string };

/** What is before the name of a column that has the name of another value. */
const ROW = "row.";

const BRACES = /\{\{|\}\}|\{([^{}\n]*)\}|[{}]/g;
const HOW = "{{ and }} are braces";

/** With more, one mistake is behind all of them, such as JSON that is no template. */
const MOST_PROBLEMS = 10;

/**
 * The parts of a template, in which `{name}` is a value, and `{{` and `}}` are braces.
 * @returns also the first things that are wrong with it, each with its line
 */
export function parseTemplate(template: string): { parts: TemplatePart[]; problems: string[] } {
  const parts: TemplatePart[] = [];
  const problems: string[] = [];
  let text = "";
  let end = 0;
  for (const { 0: found, 1: name, index } of template.matchAll(BRACES)) {
    text += template.slice(end, index);
    end = index + found.length;
    if (found === "{{" || found === "}}") {
      text += found[0];
      continue;
    }
    const part = name === undefined ? null : partOf(name);
    if (part === null) {
      const line = template.slice(0, index).split("\n").length;
      problems.push(`line ${line} of the text has ${problemOf(found)}; ${HOW}`);
      if (problems.length === MOST_PROBLEMS) break;
      continue;
    }
    if (text !== "") parts.push(text);
    text = "";
    parts.push(part);
  }
  text += template.slice(end);
  if (text !== "") parts.push(text);
  return { parts, problems };
}

function partOf(name: string): Exclude<TemplatePart, string> | null {
  const value = BUILT_IN.find((builtIn) => builtIn === name);
  if (value !== undefined) return { value };
  const column = name.startsWith(ROW) ? name.slice(ROW.length) : name;
  return column === "" ? null : { column };
}

function problemOf(found: string): string {
  if (found === "{") return "a { that is not closed in the line";
  return found === "}" ? "a } that closes nothing" : `${found} without the name of a value`;
}
