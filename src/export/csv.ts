import { flatRows, type Renderer } from "./renderer.ts";

/** CSV (RFC 4180) with a header line: the members of JSON Lines as columns; null is an empty field. */
export const csv: Renderer = {
  extension: "csv",
  *render(run, tasks) {
    let isFirst = true;
    for (const row of flatRows(run, tasks)) {
      if (isFirst) yield line(Object.keys(row));
      isFirst = false;
      yield line(Object.values(row));
    }
  },
};

function line(fields: readonly (string | number | null)[]): string {
  return `${fields.map(field).join(",")}\r\n`;
}

function field(value: string | number | null): string {
  if (value === null) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
