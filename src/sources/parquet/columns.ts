import { Damage } from "./damage.ts";
import type { Entries, LeafReader } from "./leaf-reader.ts";
import { elementOf, type Leaf, type Node } from "./schema.ts";
import { setOwn } from "./set-own.ts";

/** The values of a column at the top level in a row group, in the order of its rows. Its functions throw Damage. */
export interface ColumnReader {
  /** How many rows were read. After an error this is the row of it. */
  readonly rows: number;
  /** Where the page begins that was read last. */
  readonly page: number;
  /** The next values: at least one if there is any, and few if they are long. */
  next(): Promise<unknown[]>;
}

/** As many values as are read at once. */
const MOST_AT_ONCE = 256;

export function columnReader(column: Node, readers: readonly LeafReader[]): ColumnReader {
  const [only] = readers;
  return column.type && !column.isRepeated && only ? flatColumn(only) : new NestedColumn(column, readers);
}

/** A column whose rows have a value each. */
function flatColumn(reader: LeafReader): ColumnReader {
  let rows = 0;
  return {
    get rows() {
      return rows;
    },
    get page() {
      return reader.page;
    },
    async next() {
      const entries: Entries = { values: [], repetitions: [], definitions: [] };
      try {
        if (!reader.isAtEnd) await reader.read(MOST_AT_ONCE, entries);
      } finally {
        rows += entries.values.length;
      }
      return entries.values;
    },
  };
}

/** The most values of a row. A longer list would not fit into a prompt. */
const MOST_ROW_VALUES = 1 << 20;

/** A column of lists, maps or structs, whose rows are put together from the values at its leaves. */
class NestedColumn implements ColumnReader {
  readonly #column: Node;
  readonly #leaves: Map<Leaf, BufferedLeaf>;
  rows = 0;
  page = 0;

  constructor(column: Node, readers: readonly LeafReader[]) {
    this.#column = column;
    this.#leaves = new Map(readers.map((reader) => [reader.leaf, new BufferedLeaf(reader)]));
  }

  async next(): Promise<unknown[]> {
    const buffered = [...this.#leaves.values()];
    let count = Infinity;
    for (const leaf of buffered) {
      this.page = leaf.reader.page;
      await leaf.fill();
      count = Math.min(count, leaf.rows);
    }
    if (count === 0 && buffered.some((leaf) => leaf.rows > 0)) throw uneven();
    const values: unknown[] = [];
    while (values.length < count) {
      for (const leaf of buffered) leaf.begin();
      values.push(this.#field(this.#column));
      if (buffered.some((leaf) => !leaf.isAtRowEnd)) throw uneven();
      this.rows += 1;
    }
    return values;
  }

  /** The value of a node, which may be missing or repeated. */
  #field(node: Node): unknown {
    if (node.isRepeated) return this.#items(node, () => this.#content(node));
    if (node.isOptional && this.#first(node).definition < node.definition) return this.#skip(node, null);
    return this.#content(node);
  }

  #content(node: Node): unknown {
    if (node.shape === "leaf") return this.#first(node).take();
    const [repeated] = node.children;
    if (node.shape === "list" && repeated) {
      const element = elementOf(node);
      return this.#items(repeated, () => (element === repeated ? this.#content(repeated) : this.#field(element)));
    }
    if (node.shape === "map" && repeated) {
      const pairs = this.#items(repeated, () => repeated.children.map((child) => this.#field(child)));
      const object: Record<string, unknown> = {};
      for (const [key, value] of pairs) setOwn(object, String(key), value);
      return object;
    }
    const object: Record<string, unknown> = {};
    for (const child of node.children) setOwn(object, child.name, this.#field(child));
    return object;
  }

  /** The values of a node that repeats. */
  #items<T>(node: Node, item: () => T): T[] {
    const first = this.#first(node);
    if (first.definition < node.definition) return this.#skip(node, []);
    const list: T[] = [];
    do list.push(item());
    while (!first.isAtRowEnd && first.repetition === node.repetition);
    return list;
  }

  /** Passes over the leaves of a node that is not there. */
  #skip<T>(node: Node, value: T): T {
    for (const leaf of node.leaves) this.#leaves.get(leaf)?.take();
    return value;
  }

  #first(node: Node): BufferedLeaf {
    const leaf = node.leaves[0] && this.#leaves.get(node.leaves[0]);
    if (!leaf) throw new Damage("has a group without columns");
    return leaf;
  }
}

function uneven(): Damage {
  return new Damage("does not agree with the other parts of its column on the number of values");
}

/** The values of a leaf for some whole rows. */
class BufferedLeaf {
  readonly reader: LeafReader;
  readonly #entries: Entries = { values: [], repetitions: [], definitions: [] };
  /** Where rows begin that are not taken yet, and where the row ends that is being taken. */
  #starts: number[] = [];
  #at = 0;
  #end = 0;
  /** How many values were looked at for the starts of rows. */
  #seen = 0;
  #row = 0;

  constructor(reader: LeafReader) {
    this.reader = reader;
  }

  /** How many whole rows it has. */
  get rows(): number {
    const left = this.#starts.length - this.#row;
    return this.reader.isAtEnd || this.reader.leaf.repetition === 0 ? left : Math.max(left - 1, 0);
  }

  /** Reads on until it has a whole row, if there is one. */
  async fill(): Promise<void> {
    if (this.rows > 0) return;
    const { values, repetitions, definitions } = this.#entries;
    for (const list of [values, repetitions, definitions]) list.splice(0, this.#at);
    this.#starts = this.#starts.slice(this.#row).map((start) => start - this.#at);
    this.#seen -= this.#at;
    this.#at = this.#row = 0;
    while (this.rows === 0 && !this.reader.isAtEnd) {
      if (values.length > MOST_ROW_VALUES) throw new Damage(`has a row of more than ${MOST_ROW_VALUES} values`);
      await this.reader.read(MOST_AT_ONCE, this.#entries);
      for (; this.#seen < values.length; this.#seen += 1) {
        if (repetitions[this.#seen] === 0) this.#starts.push(this.#seen);
        else if (this.#seen === 0) throw new Damage("begins in the middle of a row");
      }
    }
  }

  /** Goes to the next row. */
  begin(): void {
    this.#at = this.#starts[this.#row] ?? 0;
    this.#row += 1;
    this.#end = this.#starts[this.#row] ?? this.#entries.values.length;
  }

  get isAtRowEnd(): boolean {
    return this.#at === this.#end;
  }

  get definition(): number {
    return this.#entries.definitions[this.#at] ?? 0;
  }

  get repetition(): number {
    return this.#entries.repetitions[this.#at] ?? 0;
  }

  take(): unknown {
    if (this.isAtRowEnd) throw uneven();
    const value = this.#entries.values[this.#at];
    this.#at += 1;
    return value;
  }
}
