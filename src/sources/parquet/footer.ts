import { counted, Damage } from "./damage.ts";
import { ThriftReader } from "./thrift.ts";

/** What the footer of a file says, as it stands there. */
export interface Footer {
  rows: number;
  /** In the order of a walk through the tree: each element is followed by its children. */
  schema: SchemaElement[];
  rowGroups: RowGroup[];
  /** Whether the writer stated its own types beside those of Parquet, as Arrow does. */
  hasArrowSchema: boolean;
}

export interface SchemaElement {
  name: string;
  /** The physical type; null for groups. */
  physical: number | null;
  /** The bytes of a value of fixed length. */
  length: number;
  /** 0 is required, 1 optional, 2 repeated. */
  repetition: number;
  children: number;
  annotation: Annotation | null;
}

/** What the values of an element mean. Old files have a converted type, newer ones a logical type, most have both. */
export type Annotation =
  | { kind: "string" | "enum" | "json" | "bson" | "uuid" | "float16" | "interval" | "date" | "list" | "map" | "other" }
  | { kind: "decimal"; scale: number }
  /** `digits` are those of the fraction of a second: 3, 6 or 9. */
  | { kind: "time" | "timestamp"; digits: number; isUtc: boolean }
  | { kind: "integer"; bits: number; isSigned: boolean };

export interface RowGroup {
  rows: number;
  /** Of the needed columns, by {@link pathKey}. */
  chunks: Map<string, Chunk>;
}

/** The pages of a column in a row group. */
export interface Chunk {
  codec: number;
  /** The values at its leaves, with nulls. */
  values: number;
  start: number;
  bytes: number;
  isEncrypted: boolean;
  isElsewhere: boolean;
}

const MOST_ELEMENTS = 100_000;
const MOST_ROW_GROUPS = 500_000;
/** Even of nulls: reading more would take minutes. */
const MOST_ROWS = 1_000_000_000;

/** A path of names, which may have any character. */
export function pathKey(path: readonly string[]): string {
  return path.join("\0");
}

/**
 * @param needs whether a column at the top level is needed
 * @throws Damage
 */
export function parseFooter(bytes: Buffer, needs: (column: string) => boolean): Footer {
  try {
    const footer = footerOf(new ThriftReader(bytes), needs);
    checkRows(footer);
    return footer;
  } catch (error) {
    if (error instanceof Damage) throw new Damage(`its footer is wrong: ${error.message}`);
    throw error;
  }
}

function footerOf(reader: ThriftReader, needs: (column: string) => boolean): Footer {
  const footer: Footer = { rows: -1, schema: [], rowGroups: [], hasArrowSchema: false };
  reader.struct((field, type) => {
    if (field === 2) {
      reader.list(type, (element) => {
        if (footer.schema.length === MOST_ELEMENTS)
          throw new Damage(`it has more than ${counted(MOST_ELEMENTS)} columns`);
        footer.schema.push(schemaElement(reader, element));
      });
    } else if (field === 3) footer.rows = reader.integer(type);
    else if (field === 4) {
      reader.list(type, (element) => {
        if (footer.rowGroups.length === MOST_ROW_GROUPS) {
          throw new Damage(`it has more than ${counted(MOST_ROW_GROUPS)} row groups`);
        }
        footer.rowGroups.push(rowGroup(reader, element, needs));
      });
    } else if (field === 5) {
      reader.list(type, (element) => {
        if (keyOf(reader, element) === "ARROW:schema") footer.hasArrowSchema = true;
      });
    } else return false;
    return true;
  });
  return footer;
}

function checkRows({ rows, rowGroups }: Footer): void {
  let sum = 0;
  for (const group of rowGroups) {
    if (group.rows < 0) throw new Damage(`a row group has ${counted(group.rows)} rows`);
    sum += group.rows;
  }
  if (sum !== rows) throw new Damage(`it states ${counted(rows)} rows, but its row groups have ${counted(sum)}`);
  if (rows > MOST_ROWS) throw new Damage(`it states ${counted(rows)} rows; at most ${counted(MOST_ROWS)} are read`);
}

function keyOf(reader: ThriftReader, type: number): string {
  let key = "";
  reader.structIn(type, (field, member) => {
    if (field !== 1) return false;
    key = reader.text(member);
    return true;
  });
  return key;
}

function schemaElement(reader: ThriftReader, type: number): SchemaElement {
  let [converted, scale, logical]: [number, number, Annotation | null] = [-1, 0, null];
  const element: SchemaElement = { name: "", physical: null, length: 0, repetition: 0, children: 0, annotation: null };
  reader.structIn(type, (field, member) => {
    if (field === 1) element.physical = reader.integer(member);
    else if (field === 2) element.length = reader.integer(member);
    else if (field === 3) element.repetition = reader.integer(member);
    else if (field === 4) element.name = reader.text(member);
    else if (field === 5) element.children = reader.integer(member);
    else if (field === 6) converted = reader.integer(member);
    else if (field === 7) scale = reader.integer(member);
    else if (field === 10) logical = logicalType(reader, member);
    else return false;
    return true;
  });
  element.annotation = logical ?? (converted === DECIMAL ? { kind: "decimal", scale } : (CONVERTED[converted] ?? null));
  return element;
}

const DECIMAL = 5;

const integer = (bits: number, isSigned: boolean): Annotation => ({ kind: "integer", bits, isSigned });

/** The converted types by number. */
const CONVERTED: readonly (Annotation | null)[] = [
  { kind: "string" },
  { kind: "map" },
  { kind: "map" },
  { kind: "list" },
  { kind: "enum" },
  null,
  { kind: "date" },
  { kind: "time", digits: 3, isUtc: true },
  { kind: "time", digits: 6, isUtc: true },
  { kind: "timestamp", digits: 3, isUtc: true },
  { kind: "timestamp", digits: 6, isUtc: true },
  ...[8, 16, 32, 64].map((bits) => integer(bits, false)),
  ...[8, 16, 32, 64].map((bits) => integer(bits, true)),
  { kind: "json" },
  { kind: "bson" },
  { kind: "interval" },
];

/** The logical types without parameters, by their field in Thrift's union. */
const LOGICAL: Record<number, Annotation> = {
  1: { kind: "string" },
  2: { kind: "map" },
  3: { kind: "list" },
  4: { kind: "enum" },
  6: { kind: "date" },
  12: { kind: "json" },
  13: { kind: "bson" },
  14: { kind: "uuid" },
  15: { kind: "float16" },
};

function logicalType(reader: ThriftReader, type: number): Annotation | null {
  let found: Annotation | null = null;
  reader.structIn(type, (field, member) => {
    if (field === 5) {
      const [scale = 0] = numbersOf(reader, member);
      found = { kind: "decimal", scale };
    } else if (field === 7 || field === 8) found = time(reader, member, field === 7 ? "time" : "timestamp");
    else if (field === 10) {
      const [bits = 0, isSigned = 1] = numbersOf(reader, member);
      found = integer(bits, isSigned === 1);
    } else {
      found = LOGICAL[field] ?? { kind: "other" };
      return false;
    }
    return true;
  });
  return found;
}

/** The numbers of a struct's first two fields; 1 for true and 0 for false. */
function numbersOf(reader: ThriftReader, type: number): number[] {
  const numbers: number[] = [];
  reader.structIn(type, (field, member) => {
    if (field > 2) return false;
    numbers[field - 1] = member <= 2 ? Number(reader.boolean(member)) : reader.integer(member);
    return true;
  });
  return numbers;
}

function time(reader: ThriftReader, type: number, kind: "time" | "timestamp"): Annotation {
  let [isUtc, unit] = [false, 2];
  reader.structIn(type, (field, member) => {
    if (field === 1) isUtc = reader.boolean(member);
    else if (field === 2) {
      reader.structIn(member, (choice) => {
        unit = choice;
        return false;
      });
    } else return false;
    return true;
  });
  if (unit < 1 || unit > 3) throw new Damage(`a column has times in the unknown unit ${unit}`);
  return { kind, digits: unit * 3, isUtc };
}

function rowGroup(reader: ThriftReader, type: number, needs: (column: string) => boolean): RowGroup {
  const group: RowGroup = { rows: -1, chunks: new Map() };
  reader.structIn(type, (field, member) => {
    if (field === 1) {
      reader.list(member, (element) => {
        const { path, ...chunk } = columnChunk(reader, element);
        if (needs(path[0] ?? "")) group.chunks.set(pathKey(path), chunk);
      });
    } else if (field === 3) group.rows = reader.integer(member);
    else return false;
    return true;
  });
  return group;
}

function columnChunk(reader: ThriftReader, type: number): Chunk & { path: string[] } {
  let [first, dictionary] = [0, 0];
  const chunk = {
    path: [] as string[],
    codec: 0,
    values: -1,
    start: 0,
    bytes: 0,
    isEncrypted: false,
    isElsewhere: false,
  };
  const names = (member: number) => reader.list(member, (element) => chunk.path.push(reader.text(element)));
  reader.structIn(type, (field, member) => {
    if (field === 1) chunk.isElsewhere = reader.text(member) !== "";
    else if (field === 3) {
      chunk.path = [];
      reader.structIn(member, (part, kind) => {
        if (part === 3) names(kind);
        else if (part === 4) chunk.codec = reader.integer(kind);
        else if (part === 5) chunk.values = reader.integer(kind);
        else if (part === 7) chunk.bytes = reader.integer(kind);
        else if (part === 9) first = reader.integer(kind);
        else if (part === 11) dictionary = reader.integer(kind);
        else return false;
        return true;
      });
    } else if (field === 8) {
      chunk.isEncrypted = true;
      // A column with a key of its own has its path here, and its metadata is encrypted.
      reader.structIn(member, (choice, kind) => {
        if (choice !== 2) return false;
        chunk.path = [];
        reader.structIn(kind, (part, inner) => {
          if (part === 1) names(inner);
          return part === 1;
        });
        return true;
      });
    } else return false;
    return true;
  });
  return { ...chunk, start: dictionary > 0 ? Math.min(first, dictionary) : first };
}
