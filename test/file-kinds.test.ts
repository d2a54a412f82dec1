import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

/** The beginning of a ZIP archive with a file of that name and content. */
function zip(name: string, content = ""): string {
  const length = String.fromCharCode(name.length);
  return `PK\u0003\u0004${"\0".repeat(22)}${length}\0\0\0${name}${content}`;
}

const OLE = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0";

/** Files by their names and first bytes in Latin-1, and what is said of each. */
const KINDS: [name: string, begin: string, says: string][] = [
  ["a.xlsx", zip("[Content_Types].xml") + zip("xl/workbook.xml"), "an Excel file: save it as CSV"],
  ["a.xls", OLE, "an Excel file: save it as CSV"],
  ["a.doc", OLE, "an old Office document: write its texts as JSON Lines or CSV"],
  ["a.docx", zip("[Content_Types].xml") + zip("word/document.xml"), "a Word document: write its texts"],
  ["a.pptx", zip("ppt/presentation.xml"), "a PowerPoint file: write its texts"],
  ["a.ods", zip("mimetype", "application/vnd.oasis.opendocument.spreadsheetPK"), "an OpenDocument table: save it"],
  ["a.odt", zip("mimetype", "application/vnd.oasis.opendocument.textPK"), "an OpenDocument text: write"],
  ["a.epub", zip("mimetype", "application/epub+zipPK"), "an EPUB book: write its texts"],
  ["a.npz", zip("arr_0.npy"), "a NumPy archive: write its rows"],
  ["a.pt", zip("model/data.pkl"), "a PyTorch file: write its rows"],
  ["rows.csv.zip", zip("rows.csv"), "a ZIP archive: unpack it"],
  ["a.pkl", "\x80\x05\x95\x01", "a Python pickle: write its rows as JSON Lines or CSV"],
  ["a.npy", "\x93NUMPY\x01\0", "a NumPy file: write its rows"],
  ["a.feather", "ARROW1\0\0", "an Arrow file (Feather): write its rows as Parquet or JSON Lines"],
  ["a.arrow", "\xff\xff\xff\xff\x10\0\0\0", "an Arrow stream: write its rows as Parquet"],
  ["old.feather", "FEA1\0\0", "an Arrow file (Feather): write"],
  ["a.avro", "Obj\x01\x04", "an Avro file: write its rows as Parquet"],
  ["a.orc", "ORC\n\x0b", "an ORC file: write its rows as Parquet"],
  ["a.csv", "PAR1\x15\x04", 'a Parquet file: let its name end in .parquet, or set the format to "parquet"'],
  ["a.h5", "\x89HDF\r\n\x1a\n", "an HDF5 file: write its rows"],
  ["a.db", "SQLite format 3\0", "a SQLite database: write its rows"],
  ["a.RData", "RDX3\nX\n\0\0", "a file of R: write its rows with write.csv"],
  ["a.mat", "MATLAB 5.0 MAT-file\0", "a MATLAB file: write its rows"],
  ["a.sav", "$FL2@(#)\0", "an SPSS file: save it as CSV"],
  ["a.dta", "<stata_dta><header>", "a Stata file: save it as CSV"],
  ["old.dta", "r\x02\x01\0", "a Stata file: save it as CSV"],
  ["a.sas7bdat", `${"\0".repeat(12)}\xc2\xea\x81\x60`, "a SAS file: save it as CSV"],
  ["a.pdf", "%PDF-1.7\n", "a PDF file: write its texts"],
  ["a.png", "\x89PNG\r\n\x1a\n", "a PNG picture"],
  ["a.jpg", "\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"],
  ["a.parquet.gz", "\x1f\x8b\x08\0", "a gzip file: unpack it\n"],
  ["a.zst", "\x28\xb5\x2f\xfd\x04\0", "a Zstandard file: unpack it"],
  ["a.xz", "\xfd7zXZ\0", "an xz file: unpack it"],
  ["a.bz2", "BZh91AY&SY\0", "a bzip2 file: unpack it"],
  ["a.lz4", "\x04\x22\x4d\x18", "an LZ4 file: unpack it"],
  ["a.7z", "7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"],
  ["a.rar", "Rar!\x1a\x07\0", "a RAR archive: unpack it"],
  ["a.tar", `rows.csv${"\0".repeat(249)}ustar`, "a tar archive: unpack it"],
  [
    "rows.jsonl",
    "version https://git-lfs.github.com/spec/v1\noid",
    "a pointer of Git LFS, not the file itself: get the",
  ],
  ["a.html", "\n<!doctype html>", "an HTML page: download the file itself"],
  ["a.xml", '\xef\xbb\xbf<?xml version="1.0"?>', "an XML file: write its rows"],
  ["a.yaml", "- input: a\n", "a YAML file: write its rows"],
  ["rows.json", "---\ninput: a\n", "a YAML file: write its rows"],
  ["a.rtf", "{\\rtf1\\ansi", "an RTF document: write its texts"],
  ["a.tex", "% A paper\n\\documentclass{article}", "a LaTeX document: write its texts"],
];

describe.concurrent("a file in no known format", () => {
  test.each(KINDS)("%s is named, and what to do with it", async (name, begin, says) => {
    await using space = await workspace();
    await space.write(name, Buffer.from(begin, "latin1"));
    const { code, stdout, stderr } = await datagenInTurn(["data", "show", name], { cwd: space.path });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(`Error: ${name} is ${says}`);
  });
});

test("texts that begin like other files are read", async () => {
  await using space = await workspace();
  const begins = ["ORCID", "BZh", "RDX", "PAR1", "$FL", "FEA1", "versions", "r", "---"];
  const files = begins.map((_, at) => `rows-${at}.csv`);
  for (const [at, begin] of begins.entries()) await space.write(`rows-${at}.csv`, `${begin},input\n1,Größe\n`);
  const { code, stdout } = await datagenInTurn(["data", "show", ...files, "--json"], { cwd: space.path });
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ rows: begins.length, bad_rows: { count: 0 } });
});

test("other files say what is expected of them in place of that", async () => {
  await using space = await workspace();
  await space.write("set.xlsx", Buffer.from(zip("xl/workbook.xml"), "latin1"));
  await space.write("set.json", gzipSync("{}"));
  const imported = await datagenInTurn(["import", "set.xlsx"], { cwd: space.path });
  expect(imported).toMatchObject({ code: 2, stdout: "" });
  expect(imported.stderr).toContain("set.xlsx is an Excel file\nName a file that holds a dataset.");
  const packed = await datagenInTurn(["import", "set.json"], { cwd: space.path });
  expect(packed.stderr).toContain("set.json is a gzip file\nUnpack it first.");
});

test("a compressed file without a byte is called empty", async () => {
  await using space = await workspace();
  await space.write("rows.csv.gz", "");
  const { code, stderr } = await datagenInTurn(["data", "show", "rows.csv.gz"], { cwd: space.path });
  expect([code, stderr]).toEqual([2, "Error: rows.csv.gz is empty, not a gzip file\n"]);
});

test("a table under another name is told how to be called", async () => {
  await using space = await workspace();
  await space.write("rows.txt", "id,input\n1,a\n");
  const { code, stderr } = await datagenInTurn(["data", "show", "rows.txt"], { cwd: space.path });
  expect(code).toBe(2);
  expect(stderr).toMatch(/^Error: rows\.txt begins with "i"\n.* Of a table, let the name end in \.csv or \.tsv\.\n$/);
});
