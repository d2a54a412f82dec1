import { extname } from "node:path";

/** A kind of file that is not text with rows. */
export interface FileKind {
  /** Such as `an Excel file`. */
  name: string;
  /** What to do with it where rows are wanted, such as `save it as CSV`. */
  asRows: string;
  /** Whether other files are packed in it. */
  isPacked: boolean;
}

/** How many of the first bytes of a file are looked at. */
const MOST_BYTES = 1 << 16;

const TO_CSV = "save it as CSV";
const TO_LINES = "write its rows as JSON Lines or CSV";
const TO_PARQUET = "write its rows as Parquet or JSON Lines";
const UNPACK = "unpack it";
const UNPACK_GZIP = `${UNPACK}, or let its name end in .gz`;
const TO_TEXTS = "write its texts as JSON Lines or CSV";

/** The first bytes of binary files, in Latin-1. */
const MAGIC: readonly (readonly [begin: string, name: string, asRows: string])[] = [
  ["PAR1", "a Parquet file", 'let its name end in .parquet, or set the format to "parquet"'],
  ["ARROW1", "an Arrow file (Feather)", TO_PARQUET],
  ["\xff\xff\xff\xff", "an Arrow stream", TO_PARQUET],
  ["FEA1", "an Arrow file (Feather)", TO_PARQUET],
  ["Obj\x01", "an Avro file", TO_PARQUET],
  ["ORC", "an ORC file", TO_PARQUET],
  ["\x89HDF", "an HDF5 file", TO_LINES],
  ["\x93NUMPY", "a NumPy file", TO_LINES],
  ...["\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"].map((begin) => [begin, "a Python pickle", TO_LINES] as const),
  ["SQLite format 3\0", "a SQLite database", TO_LINES],
  ["RDX", "a file of R", "write its rows with write.csv"],
  ["MATLAB 5.0", "a MATLAB file", TO_LINES],
  ["r\x02\x01", "a Stata file", TO_CSV],
  ["s\x02\x01", "a Stata file", TO_CSV],
  ["$FL", "an SPSS file", TO_CSV],
  ["\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60", "a SAS file", TO_CSV],
  ["\x89PNG", "a PNG picture", TO_TEXTS],
  ["\xff\xd8\xff", "a JPEG picture", TO_TEXTS],
  ["\x1f\x8b", "a gzip file", UNPACK_GZIP],
  ["\x28\xb5\x2f\xfd", "a Zstandard file", UNPACK],
  ["\xfd7zXZ\0", "an xz file", UNPACK],
  ["BZh", "a bzip2 file", UNPACK],
  ["\x04\x22\x4d\x18", "an LZ4 file", UNPACK],
  ["7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK],
  ["Rar!\x1a\x07", "a RAR archive", UNPACK],
];

/** The names of the files in ZIP archives that are more than archives, and their kinds. */
const IN_ZIP: readonly [entry: RegExp, name: string, asRows: string][] = [
  [/^xl\//, "an Excel file", TO_CSV],
  [/^word\//, "a Word document", TO_TEXTS],
  [/^ppt\//, "a PowerPoint file", TO_TEXTS],
  [/\.npy$/, "a NumPy archive", TO_LINES],
  [/\/data\.pkl$/, "a PyTorch file", TO_LINES],
];

/** The text of the entry `mimetype`, with which other ZIP archives begin. */
const MIME_TYPES: readonly [type: string, name: string, asRows: string][] = [
  ["application/vnd.oasis.opendocument.spreadsheet", "an OpenDocument table", TO_CSV],
  ["application/vnd.oasis.opendocument.text", "an OpenDocument text", TO_TEXTS],
  ["application/epub+zip", "an EPUB book", TO_TEXTS],
];

/** How other files begin that hold no rows. */
const TEXTS: readonly [begin: RegExp, name: string, asRows: string][] = [
  [/^%PDF-/, "a PDF file", TO_TEXTS],
  [/^<stata_dta>/, "a Stata file", TO_CSV],
  [/^version https:\/\/git-lfs/, "a pointer of Git LFS, not the file itself", "get the file with `git lfs pull`"],
  [/^<(!doctype html|html|head|body|table)\b/i, "an HTML page", "download the file itself"],
  [/^<\?xml|^<!--/i, "an XML file", TO_LINES],
  [/^(---|%YAML\b[^\n]{0,40})[ \t]*\r?\n/, "a YAML file", TO_LINES],
  [/^\{\\rtf/, "an RTF document", TO_TEXTS],
  [/^\\documentclass|^%[^\n]*\n\\documentclass/, "a LaTeX document", TO_TEXTS],
];

/**
 * What a file is if it cannot hold rows as text, by its first bytes; null if it may.
 * @param path its ending tells apart what begins alike
 */
export function kindOfFile(bytes: Buffer, path: string): FileKind | null {
  const begin = bytes.toString("latin1", 0, MOST_BYTES);
  const ending = extname(path).toLowerCase();
  if (begin.startsWith(ZIP_ENTRY)) return kindOfZip(begin);
  if (begin.startsWith(OLD_OFFICE)) {
    const isDocument = /^\.(doc|ppt|msg)$/.test(ending);
    return isDocument ? kind("an old Office document", TO_TEXTS) : kind("an Excel file", TO_CSV);
  }
  if (begin.startsWith("ustar", 257)) return kind("a tar archive", UNPACK);
  const binary = MAGIC.find(([magic]) => begin.startsWith(magic));
  if (binary && CONTROL.test(begin.slice(0, 1024))) {
    return kind(binary[1], binary[2] === UNPACK_GZIP && ending === ".gz" ? UNPACK : binary[2]);
  }
  const start = bytes
    .toString("utf8", 0, 2_000)
    .replace(/^\ufeff/, "")
    .trimStart();
  const text = TEXTS.find(([pattern]) => pattern.test(start));
  if (text) return kind(text[1], text[2]);
  const isYaml = /^\.ya?ml$/.test(ending) && !/^[[{]/.test(start);
  return isYaml ? kind("a YAML file", TO_LINES) : null;
}

const ZIP_ENTRY = "PK\x03\x04";
const OLD_OFFICE = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/** What binary files have, and text has not: a table may begin with `ORC`, too. */
// oxlint-disable-next-line no-control-regex -- this expression finds control characters
const CONTROL = /[\0-\x08\x0b\x0e-\x1f\x7f]/;

function kind(name: string, asRows: string): FileKind {
  return { name, asRows, isPacked: asRows.startsWith(UNPACK) };
}

function kindOfZip(begin: string): FileKind {
  const mime = MIME_TYPES.find(([type]) => begin.startsWith(`mimetype${type}`, 30));
  if (mime) return kind(mime[1], mime[2]);
  // Each entry begins with a header, of which the length of its name and the name are parts.
  for (const { index } of begin.matchAll(new RegExp(ZIP_ENTRY, "g"))) {
    const length = begin.charCodeAt(index + 26) + 256 * begin.charCodeAt(index + 27);
    const entry = begin.slice(index + 30, index + 30 + length);
    const found = IN_ZIP.find(([pattern]) => pattern.test(entry));
    if (found) return kind(found[1], found[2]);
  }
  return kind("a ZIP archive", UNPACK);
}
