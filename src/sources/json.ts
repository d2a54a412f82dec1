import { errorMessage } from "../errors.ts";
import { isTooDeep, TOO_DEEP } from "../files/depth.ts";
import { kindOf } from "../files/found.ts";
import { openTextFile } from "../files/text-file.ts";
import { type Element, elementsOf } from "./elements.ts";
import { hasInexactNumbers, parseExactly } from "./exact-numbers.ts";
import { repeatedName } from "./repeated-name.ts";
import { INPUT_FILE } from "./input-file.ts";
import type { Row, Source, SourceRow } from "./source.ts";

/** A JSON array of objects. Files with this ending often hold JSON Lines, so the first character decides. */
export const json: Source = {
  endings: ["json"],
  isText: true,
  async open(path) {
    let index = 0;
    const file = await openTextFile(path, INPUT_FILE, () => `in row ${index}`);
    const elements = elementsOf(file.text, path)[Symbol.asyncIterator]();
    return {
      columns: null,
      async *rows() {
        for (let next = await elements.next(); !next.done; next = await elements.next()) {
          yield next.value.map((element): SourceRow => {
            const row = rowOf(element);
            const place = { index, line: element.line };
            index += 1;
            return typeof row === "string" ? { ...place, problem: row } : { ...place, row };
          });
        }
      },
      async countRest() {
        let count = 0;
        for (let next = await elements.next(); !next.done; next = await elements.next()) count += next.value.length;
        return count;
      },
      sha256: () => file.sha256(),
      close: () => file.close(),
    };
  },
};

/** JSON Lines: an object on each line. */
export const jsonl: Source = { ...json, endings: ["jsonl", "ndjson"] };

/** The row of an element, or what is wrong with it. */
function rowOf({ text }: Element): Row | string {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    return ` is not valid JSON: ${text.trim() === "" ? "there is no value" : errorMessage(error)}`;
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    return `: expected an object {input, reference?}, found ${kindOf(row)}`;
  }
  const twice = repeatedName(text, row);
  if (twice !== null) return ` has the key "${twice}" twice`;
  if (!hasInexactNumbers(row)) return row as Row;
  return isTooDeep(row) ? `: ${TOO_DEEP}` : (parseExactly(text) as Row);
}
