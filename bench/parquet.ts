import { closeSync, openSync, writeSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { dataPage, parquetFooter, plainTexts } from "../test/support/parquet-file.ts";

/** About as many bytes as pages of other writers have. */
const PAGE_BYTES = 1_000_000;
const ZSTANDARD = 6;

/**
 * Writes a Parquet file of texts as pandas does, but with Zstandard: all rows in one row group, and pages of a megabyte. Its
 * memory does not grow with the rows.
 */
export function writeParquet(
  path: string,
  names: readonly string[],
  count: number,
  cellAt: (at: number, column: string) => string,
): void {
  const file = openSync(path, "w");
  let at = 0;
  const write = (bytes: Buffer) => {
    writeSync(file, bytes);
    at += bytes.length;
  };
  write(Buffer.from("PAR1"));
  const chunks = names.map((name) => {
    const start = at;
    for (let first = 0; first < count;) {
      const texts: string[] = [];
      for (let size = 0; size < PAGE_BYTES && first < count; first += 1) {
        const text = cellAt(first, name);
        texts.push(text);
        size += text.length;
      }
      const plain = plainTexts(texts);
      write(dataPage(texts.length, zstdCompressSync(plain), { 2: plain.length }));
    }
    return { name, start, bytes: at - start, metadata: { 4: ZSTANDARD } };
  });
  write(parquetFooter(chunks, count));
  closeSync(file);
}
