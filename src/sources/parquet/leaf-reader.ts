import { type Bytes, Runs } from "./bits.ts";
import { counted, Damage } from "./damage.ts";
import { dictionaryOf, valuesOf } from "./decoders.ts";
import type { Values } from "./leaf-type.ts";
import type { Page, Pages } from "./pages.ts";
import type { Leaf } from "./schema.ts";

/** Some values of a leaf, with the levels that say where they belong. A missing value is null. */
export interface Entries {
  values: unknown[];
  repetitions: number[];
  definitions: number[];
}

/** After so many characters the values that were read are handed on. */
const MOST_CHARACTERS = 262_144;

/** The most values of a dictionary. */
const MOST_ENTRIES = 1 << 23;

/** Reads the values of a leaf in a row group, page by page. Its functions throw Damage. */
export class LeafReader {
  readonly leaf: Leaf;
  readonly #pages: Pages;
  /** The values that were not read yet, of the column and of the page. */
  #left: number;
  #inPage = 0;
  #dictionary: unknown[] | null = null;
  #repetitions: Runs | null = null;
  #definitions: Runs | null = null;
  #values: Values = { next: () => null };

  /** @param values how many values there are, with nulls */
  constructor(leaf: Leaf, pages: Pages, values: number) {
    this.leaf = leaf;
    this.#pages = pages;
    this.#left = values;
  }

  get isAtEnd(): boolean {
    return this.#left === 0;
  }

  /** Where the page begins from which values are read. */
  get page(): number {
    return this.#pages.start;
  }

  /** Adds some of the next values: at least one, and few if they are long. */
  async read(most: number, into: Entries): Promise<void> {
    while (this.#inPage === 0) await this.#open();
    const count = Math.min(most, this.#inPage);
    const { definition, repetition } = this.leaf;
    for (let at = 0, size = 0; at < count && size < MOST_CHARACTERS; at += 1) {
      const defined = this.#definitions ? this.#definitions.next() : definition;
      const repeated = this.#repetitions ? this.#repetitions.next() : 0;
      if (defined > definition || repeated > repetition) throw new Damage("has a level that its schema does not have");
      // The values that came before are counted, so that an error names the right row.
      this.#left -= 1;
      this.#inPage -= 1;
      const value = defined === definition ? this.#values.next() : null;
      into.values.push(value);
      into.definitions.push(defined);
      into.repetitions.push(repeated);
      if (typeof value === "string" || value instanceof Uint8Array) size += value.length;
    }
  }

  async #open(): Promise<void> {
    const page = await this.#pages.next();
    if (page.kind === "dictionary") this.#dictionary = this.#entriesOf(page);
    else this.#begin(page);
  }

  #entriesOf({ values, bytes }: Page & { kind: "dictionary" }): unknown[] {
    if (this.#dictionary) throw new Damage("is a second dictionary of its column");
    if (values > MOST_ENTRIES) {
      throw new Damage(`is a dictionary of ${counted(values)} values; at most ${counted(MOST_ENTRIES)} are read`);
    }
    return dictionaryOf(bytes, values, this.leaf.type);
  }

  #begin(page: Page & { kind: "data" }): void {
    const { values, encoding, repetitions, definitions, bytes } = page;
    if (values > this.#left) {
      throw new Damage(`has ${counted(values)} values, but only ${counted(this.#left)} are left in its column`);
    }
    const { leaf } = this;
    const hasOld = (leaf.repetition > 0 && page.hasOldRepetitions) || (leaf.definition > 0 && page.hasOldDefinitions);
    if (hasOld) throw new Damage("has levels as only very old files have them (BIT_PACKED), which are not read");
    this.#repetitions = levels(leaf.repetition, repetitions ?? bytes, repetitions === null);
    this.#definitions = levels(leaf.definition, definitions ?? bytes, definitions === null);
    this.#values = valuesOf(bytes, encoding, leaf.type, this.#dictionary);
    this.#inPage = values;
  }
}

/** @param hasLength whether their length stands before them */
function levels(highest: number, bytes: Bytes, hasLength: boolean): Runs | null {
  if (highest === 0) return null;
  return new Runs(hasLength ? bytes.part() : bytes, Math.ceil(Math.log2(highest + 1)));
}
