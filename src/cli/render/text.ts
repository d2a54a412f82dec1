/**
 * Text that is safe to show on a terminal: control characters other than line breaks and tabs, and the marks that turn
 * the direction of a line, are escaped.
 */
export function printable(text: string): string {
  return text.replaceAll(OBEYED, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : jsonEscape(character);
  });
}

/** JSON text that is safe to show on a terminal; its value is the same. */
export function printableJson(json: string): string {
  return json.replaceAll(OBEYED, jsonEscape);
}

const OBEYED =
  // oxlint-disable-next-line no-control-regex -- this expression finds control characters
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu;

function jsonEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Text that is safe to show on a terminal, on one line. */
export function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, " ").trim());
}

/** A whole number with a comma between thousands. */
export function number(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** A count with the word for what is counted. */
export function counted(value: number, singular: string, plural = `${singular}s`): string {
  return `${number(value)} ${value === 1 ? singular : plural}`;
}

/** A size in megabytes, with one decimal. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** Seconds as `m:ss` or `h:mm:ss`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A duration in milliseconds as `250 ms` or `1.5 s`. */
export function latency(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** A time in ISO 8601 as `2026-01-31 12:30`. */
export function minuteOf(time: string): string {
  return time.slice(0, 16).replace("T", " ");
}

/** A time in ISO 8601 as `2026-01-31 12:30:59`. */
export function secondOf(time: string): string {
  return time.slice(0, 19).replace("T", " ");
}

/** US dollars: with two decimals, or below one dollar with two significant digits. */
export function usd(value: number): string {
  if (value === 0 || value >= 1) return `$${value.toFixed(2).replace(/\B(?=(\d{3})+\.)/g, ",")}`;
  return `$${value.toFixed(Math.max(2, 1 - Math.floor(Math.log10(value))))}`;
}

/** US dollars, or `unknown`. */
export function money(value: number | null): string {
  return value === null ? "unknown" : usd(value);
}

/** Names as a choice: `a, b or c`. */
export function either(names: readonly string[]): string {
  return new Intl.ListFormat("en-GB", { type: "disjunction" }).format(names);
}
