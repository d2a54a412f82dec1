import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { FORMATS } from "../../src/config/formats.ts";
import { UsageError } from "../../src/errors.ts";
import { formatOf, sourceOf } from "../../src/sources/index.ts";
import type { OpenSource, Row, SourceRow } from "../../src/sources/source.ts";
import { datagen, workspace } from "../support/harness.ts";
import { sourceWriters } from "../support/sources/index.ts";

const REGISTERED = FORMATS.filter((format) => formatOf(`rows.${format}`) === format);

/** Texts that formats could confuse with their own signs. */
const HARD_TEXTS = [
  "Zwölf Boxkämpfer",
  "日本語の文、と句点。",
  "👩‍👩‍👧‍👦 e\u0301 \u200f\u202eabc",
  'He said "no", then "yes"; and\tleft',
  '"quoted"',
  '""',
  "two\nlines\r\nand\rmore\n",
  " blanks around ",
  '\\n \\\\ \\"',
  "\ufeffmark",
  "line\u2028paragraph\u2029",
  "NULL",
  "NaN",
  "1e5",
  "-",
  "=1+1",
  "{}",
  "a\u0001b\u007f",
];

function numbered(count: number, text = (at: number) => `text ${at}`): Row[] {
  return Array.from({ length: count }, (_, at) => ({ input: text(at), reference: at % 3 === 0 ? null : `r ${at}` }));
}

const digestOf = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

async function allRows(source: OpenSource): Promise<SourceRow[]> {
  const rows: SourceRow[] = [];
  for await (const chunk of source.rows()) rows.push(...chunk);
  return rows;
}

/** Reads the first rows of a file. @returns how many */
async function someRows(source: OpenSource): Promise<number> {
  for await (const chunk of source.rows()) if (chunk.length > 0) return chunk.length;
  return 0;
}

const rowsOf = (rows: readonly SourceRow[]) => rows.map((row) => ("problem" in row ? row.problem : { ...row.row }));

describe.concurrent.each(REGISTERED)("the source %s", (format) => {
  const writer = sourceWriters[format];
  const source = sourceOf(format);
  const name = `rows.${format}`;
  const options = { columns: null, onWarning: (message: string) => expect.fail(message) };

  /** A file of the format, open. */
  async function opened(content: Buffer, file = name) {
    const space = await workspace();
    const path = await space.write(file, content);
    const open = await source.open(path, options);
    return {
      open,
      async [Symbol.asyncDispose]() {
        await open.close();
        await space[Symbol.asyncDispose]();
      },
    };
  }

  /** The error of reading a file to its end, or of opening it. */
  async function errorOf(content: Buffer, file = name): Promise<{ message: string; path: string }> {
    await using space = await workspace();
    const path = await space.write(file, content);
    try {
      const open = await source.open(path, options);
      try {
        await allRows(open);
      } finally {
        await open.close();
      }
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      return { message: (error as UsageError).message, path };
    }
    return expect.fail("the file was read");
  }

  test("gives all rows in their order, with their places", async () => {
    const rows = numbered(20_000);
    await using file = await opened(writer.write(rows));
    const read = await allRows(file.open);
    expect(rowsOf(read)).toEqual(rows);
    expect(read.map(({ index }) => index)).toEqual(rows.map((_, at) => at));
    const lines = read.map(({ line }) => line);
    if (source.isText) expect(lines).toEqual(lines.toSorted((a, b) => (a ?? 0) - (b ?? 0)));
    else expect(new Set(lines)).toEqual(new Set([null]));
  });

  test("keeps every character of texts, and nulls", async () => {
    const rows = HARD_TEXTS.map((text, at) => ({ input: text, reference: at % 2 === 0 ? null : text, id: `${at}` }));
    await using file = await opened(writer.write(rows));
    expect(rowsOf(await allRows(file.open))).toEqual(rows);
  });

  test("keeps objects, lists and numbers, if the format has them", async () => {
    if (!writer.isNested) return;
    const rows = [
      { translation: { de: "Hallo", en: "Hello" }, list: ["a", "b"], number: 1.5, whole: 7, flag: true },
      { translation: { de: "Tschüss", en: null }, list: [], number: -2.25, whole: -7, flag: false },
    ];
    await using file = await opened(writer.write(rows));
    expect(rowsOf(await allRows(file.open))).toEqual(rows);
  });

  test("reads texts of megabytes", async () => {
    const rows = [{ input: `${'Länge, "und" Breite\n'.repeat(400_000)}.` }, { input: "short" }];
    await using file = await opened(writer.write(rows));
    expect(rowsOf(await allRows(file.open))).toEqual(rows);
  });

  test("may have a column with the name of the prototype", async () => {
    const row = Object.fromEntries([
      ["__proto__", "a text"],
      ["input", "another"],
    ]);
    await using file = await opened(writer.write([row]));
    const [read] = await allRows(file.open);
    expect(read && "row" in read && Object.entries(read.row)).toEqual(Object.entries(row));
  });

  test("counts the rest, and hashes all bytes, where reading stops early", async () => {
    const rows = numbered(30_000);
    const bytes = writer.write(rows);
    await using file = await opened(bytes);
    const read = await someRows(file.open);
    expect(read).toBeGreaterThan(0);
    expect(await file.open.countRest()).toBe(rows.length - read);
    expect(await file.open.sha256()).toBe(digestOf(bytes));
  });

  test("hashes the bytes of a file that is not read", async () => {
    const bytes = writer.write(numbered(30_000));
    await using file = await opened(bytes);
    expect(await file.open.sha256()).toBe(digestOf(bytes));
  });

  test("leaves columns out that are not needed, or gives them", async () => {
    await using space = await workspace();
    const path = await space.write(name, writer.write([{ input: "a", other: "b", id: "c" }]));
    const open = await source.open(path, { ...options, columns: ["id", "input"] });
    const [row] = rowsOf(await allRows(open));
    expect(row).toMatchObject({ input: "a", id: "c" });
    await open.close();
  });

  test("names an empty file, and broken ones", async () => {
    const files = [{ name: "without a byte", content: Buffer.alloc(0), says: "" }, ...writer.broken];
    for (const { content, says } of files) {
      const { message, path } = await errorOf(content);
      expect(message).toContain(path);
      expect(message).toMatch(says);
    }
  });

  if (source.isText) {
    test("gives the rows before a place that cannot be read", async () => {
      const bytes = Buffer.concat([writer.write(numbered(20_000)), Buffer.from([0xff])]);
      await using file = await opened(bytes);
      expect(await someRows(file.open)).toBeGreaterThan(0);
      await expect(file.open.countRest()).rejects.toThrow(UsageError);
      expect(await file.open.sha256()).toBe(digestOf(bytes));
    });
  }

  test("names files of other kinds", async () => {
    const excel = await errorOf(zipOf("[Content_Types].xml", "xl/workbook.xml"));
    expect(excel.message).toBe(`${excel.path} is an Excel file: save it as CSV`);
    const page = await errorOf(Buffer.from("<!DOCTYPE html>\n<html></html>\n"));
    expect(page.message).toBe(`${page.path} is an HTML page: download the file itself`);
  });

  test("is read in memory that does not grow with the file", async () => {
    await using space = await workspace();
    const long = "A sentence, with a comma. ".repeat(400);
    await space.write(name, writer.write(numbered(6_000, (at) => `${at} ${long}`)));
    const env = { NODE_OPTIONS: "--max-old-space-size=48" };
    const { code, stdout, stderr } = await datagen(["data", "show", name, "--json"], { cwd: space.path, env });
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ rows: 6_000 });
  });

  test("lets go of rows that are not kept", async () => {
    await using space = await workspace();
    const long = "A sentence, with a comma. ".repeat(40);
    const rows = writer.write(numbered(50_000, (at) => `${at} ${long}`));
    await space.write(name, rows);
    // Of each chunk of the file, some rows are kept.
    const script = `
      import { sourceOf } from ${JSON.stringify(pathToFileURL(resolve("src/sources/index.ts")).href)};
      const options = { columns: ["input", "reference"], onWarning: console.error };
      const source = await sourceOf(${JSON.stringify(format)}).open(${JSON.stringify(name)}, options);
      const kept = [];
      let chunks = 0;
      for await (const chunk of source.rows()) {
        chunks += 1;
        for (const { row } of chunk) if (row.reference?.endsWith("00")) kept.push(row.input);
      }
      await source.close();
      console.log(chunks, kept.length);`;
    await space.write("keep.mjs", script);
    const env = { NODE_OPTIONS: "--max-old-space-size=52" };
    const result = await datagen([], { cwd: space.path, bin: space.at("keep.mjs"), env });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^\d+ 333\n$/);
  });

  if (!source.isText) return;

  describe("compressed", () => {
    test("gives the same rows, and the hash of its own bytes", async () => {
      const rows = numbered(30_000);
      const bytes = gzipSync(writer.write(rows));
      await using file = await opened(bytes, `${name}.gz`);
      expect(rowsOf(await allRows(file.open))).toEqual(rows);
      expect(await file.open.sha256()).toBe(digestOf(bytes));
    });

    test("counts the rest, and hashes all bytes, where reading stops early", async () => {
      const rows = numbered(60_000, (at) => digestOf(Buffer.from(`${at}`)));
      const bytes = gzipSync(writer.write(rows));
      await using file = await opened(bytes, `${name}.gz`);
      let read = 0;
      for await (const chunk of file.open.rows()) {
        read += chunk.length;
        if (read > 0) break;
      }
      expect(await file.open.countRest()).toBe(rows.length - read);
      expect(await file.open.sha256()).toBe(digestOf(bytes));
      await using again = await opened(bytes, `${name}.gz`);
      for await (const _ of again.open.rows()) break;
      expect(await again.open.sha256()).toBe(digestOf(bytes));
    });

    test("is named if it is cut off, damaged, or not compressed", async () => {
      const plain = writer.write(numbered(20_000, (at) => digestOf(Buffer.from(`${at}`))));
      const bytes = gzipSync(plain);
      const cut = await errorOf(bytes.subarray(0, bytes.length >> 1), `${name}.gz`);
      expect(cut.message).toBe(`${cut.path} is cut off: its gzip data ends too early`);
      const damaged = Buffer.from(bytes);
      damaged.fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 64);
      const broken = await errorOf(damaged, `${name}.gz`);
      expect(broken.message).toMatch(`${broken.path} cannot be unpacked`);
      const not = await errorOf(plain, `${name}.gz`);
      expect(not.message).toBe(`${not.path} is not a gzip file`);
    });

    test("does not fill the memory, whatever it unpacks to", async () => {
      await using space = await workspace();
      await space.write(`${name}.gz`, gzipSync(Buffer.alloc(80_000_000, " ")));
      const env = { NODE_OPTIONS: "--max-old-space-size=128" };
      const { code, stderr } = await datagen(["data", "show", `${name}.gz`], { cwd: space.path, env });
      expect(code).toBe(2);
      expect(stderr).toMatch(/^Error: rows\.\w+\.gz.* 36000000 (blanks|characters)/);
    });
  });
});

/** The beginning of a ZIP archive with empty files. */
function zipOf(...names: string[]): Buffer {
  const entries = names.map((name) => {
    const header = Buffer.alloc(30);
    header.write("PK\u0003\u0004");
    header.writeUInt16LE(name.length, 26);
    return Buffer.concat([header, Buffer.from(name)]);
  });
  return Buffer.concat(entries);
}
