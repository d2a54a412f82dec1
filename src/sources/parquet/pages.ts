import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { errorMessage } from "../../errors.ts";
import { Bytes } from "./bits.ts";
import { decompress, release } from "./codecs.ts";
import { counted, Damage } from "./damage.ts";
import type { Chunk } from "./footer.ts";
import { CutOff, ThriftReader } from "./thrift.ts";

/** A page with its bytes decompressed. They are there until the next page is read. */
export type Page =
  | { kind: "dictionary"; values: number; bytes: Bytes }
  | {
      kind: "data";
      /** How many values it has, with nulls. */
      values: number;
      encoding: number;
      /** Null where the levels are in front of the values: version 1. */
      repetitions: Bytes | null;
      definitions: Bytes | null;
      /** Whether the levels are packed as only very old files have them. */
      hasOldRepetitions: boolean;
      hasOldDefinitions: boolean;
      /** The levels, where they are not given, and the values. */
      bytes: Bytes;
    };

/** What a page header says. Members that its kind does not have are 0. */
interface Header {
  kind: number;
  bytes: number;
  storedBytes: number;
  checksum: number | null;
  values: number;
  encoding: number;
  /** The encodings of the levels in version 1. */
  definitionEncoding: number;
  repetitionEncoding: number;
  /** How many bytes the levels take in version 2. */
  repetitionBytes: number;
  definitionBytes: number;
  isCompressed: boolean;
  /** The bytes of the header. */
  length: number;
}

/** Kinds of pages. */
const [DATA, INDEX, DICTIONARY, DATA_2] = [0, 1, 2, 3];

const NO_CODEC = 0;
/** The encoding of levels. */
const RLE = 3;

const MOST_PAGE_BYTES = 512_000_000;
/** A page of one value, such as a language, may have very many in a few bytes. */
const MOST_PAGE_VALUES = 1 << 27;
/** Headers may hold a page's lowest and highest text. */
const HEADER_BYTES = 1 << 14;
const MOST_HEADER_BYTES = 1 << 24;
/** Old writers left the header of the dictionary out of the size of a column. */
const FORGOTTEN_BYTES = 256;

/** Reads the pages of a column in a row group, one after another. */
export class Pages {
  readonly #window: Window;
  readonly #codec: number;
  /** The decompressed bytes of the page that was read last. */
  #decompressed: Buffer | null = null;
  /** Where the page that was read last begins in the file. */
  start = 0;

  /**
   * @param end where the pages of the file end
   * @param ahead how many bytes to read at once
   */
  constructor(file: FileHandle, { start, bytes, codec }: Chunk, end: number, ahead: number) {
    if (start < 0 || bytes < 0 || start + bytes > end) {
      throw new Damage(
        `it takes the bytes ${counted(start)} to ${counted(start + bytes)}, but the pages of the file end at ${counted(end)}`,
      );
    }
    this.#window = new Window(file, start, Math.min(end, start + bytes + FORGOTTEN_BYTES), ahead);
    this.#codec = codec;
  }

  /** The next page of data, or of a dictionary. */
  async next(): Promise<Page> {
    if (this.#decompressed) release(this.#decompressed);
    this.#decompressed = null;
    for (;;) {
      this.start = this.#window.position;
      const header = await this.#header();
      checkHeader(header);
      const left = this.#window.left;
      if (header.storedBytes > left) {
        throw new Damage(`has ${counted(header.storedBytes)} bytes, but only ${counted(left)} are left for it`);
      }
      const stored = await this.#window.take(header.storedBytes);
      if (header.checksum !== null && crc32(stored) !== header.checksum) {
        throw new Damage("is damaged: its checksum is wrong");
      }
      if (header.kind !== INDEX) return this.#pageOf(header, stored);
    }
  }

  #pageOf(header: Header, stored: Buffer): Page {
    const { kind, bytes, values, encoding, repetitionBytes, definitionBytes } = header;
    if (kind !== DATA_2) {
      const page = this.#decompress(stored, bytes);
      if (kind === DICTIONARY) return { kind: "dictionary", values, bytes: page };
      const { repetitionEncoding, definitionEncoding } = header;
      const levels = { hasOldRepetitions: repetitionEncoding !== RLE, hasOldDefinitions: definitionEncoding !== RLE };
      return { kind: "data", values, encoding, repetitions: null, definitions: null, ...levels, bytes: page };
    }
    const levels = repetitionBytes + definitionBytes;
    const rest = stored.subarray(levels);
    const isCompressed = header.isCompressed && rest.length > 0;
    return {
      kind: "data",
      values,
      encoding,
      hasOldRepetitions: false,
      hasOldDefinitions: false,
      repetitions: new Bytes(stored, 0, repetitionBytes),
      definitions: new Bytes(stored, repetitionBytes, levels),
      bytes: isCompressed ? this.#decompress(rest, bytes - levels) : new Bytes(rest),
    };
  }

  #decompress(stored: Buffer, length: number): Bytes {
    const bytes = decompress(stored, length, this.#codec);
    if (this.#codec !== NO_CODEC) this.#decompressed = bytes;
    return new Bytes(bytes);
  }

  async #header(): Promise<Header> {
    for (let most = HEADER_BYTES; ; most *= 16) {
      const bytes = await this.#window.peek(most);
      try {
        const header = parseHeader(bytes);
        this.#window.skip(header.length);
        return header;
      } catch (error) {
        if (!(error instanceof Damage)) throw error;
        const mayGoOn = error instanceof CutOff && bytes.length === most && most < MOST_HEADER_BYTES;
        if (!mayGoOn) throw new Damage(`has a header that cannot be read: ${error.message}`);
      }
    }
  }
}

function parseHeader(bytes: Buffer): Header {
  const reader = new ThriftReader(bytes);
  const header: Header = {
    kind: -1,
    bytes: -1,
    storedBytes: -1,
    checksum: null,
    values: -1,
    encoding: -1,
    definitionEncoding: RLE,
    repetitionEncoding: RLE,
    repetitionBytes: 0,
    definitionBytes: 0,
    isCompressed: true,
    length: 0,
  };
  reader.struct((field, type) => {
    if (field === 1) header.kind = reader.integer(type);
    else if (field === 2) header.bytes = reader.integer(type);
    else if (field === 3) header.storedBytes = reader.integer(type);
    else if (field === 4) header.checksum = reader.integer(type) >>> 0;
    else if (field === 5 || field === 7 || field === 8) {
      const isVersion2 = field === 8;
      reader.structIn(type, (part, kind) => {
        if (part === 1) header.values = reader.integer(kind);
        else if (part === (isVersion2 ? 4 : 2)) header.encoding = reader.integer(kind);
        else if (field === 5 && part === 3) header.definitionEncoding = reader.integer(kind);
        else if (field === 5 && part === 4) header.repetitionEncoding = reader.integer(kind);
        else if (isVersion2 && part === 5) header.definitionBytes = reader.integer(kind);
        else if (isVersion2 && part === 6) header.repetitionBytes = reader.integer(kind);
        else if (isVersion2 && part === 7) header.isCompressed = reader.boolean(kind);
        else return false;
        return true;
      });
    } else return false;
    return true;
  });
  header.length = reader.at;
  return header;
}

function checkHeader({ kind, bytes, storedBytes, values, repetitionBytes, definitionBytes }: Header): void {
  if (kind < DATA || kind > DATA_2) throw new Damage(`has the unknown kind ${kind}`);
  if (bytes < 0 || storedBytes < 0) throw new Damage("does not state its size");
  const most = Math.max(bytes, storedBytes);
  if (most > MOST_PAGE_BYTES) {
    throw new Damage(`claims ${counted(most)} bytes; at most ${counted(MOST_PAGE_BYTES)} are read`);
  }
  if (kind === INDEX) return;
  if (values < 0 || values > MOST_PAGE_VALUES) {
    throw new Damage(`claims ${counted(values)} values; at most ${counted(MOST_PAGE_VALUES)} are read`);
  }
  const levels = repetitionBytes + definitionBytes;
  if (repetitionBytes < 0 || definitionBytes < 0 || levels > Math.min(bytes, storedBytes)) {
    throw new Damage(`claims ${counted(levels)} bytes of levels, more than it has`);
  }
}

/** A part of a file that is read in order, many bytes at once. Its bytes are there until the next ones are read. */
class Window {
  readonly #file: FileHandle;
  readonly #end: number;
  readonly #ahead: number;
  /** The memory that is used again and again, and the part of it with bytes that were not taken yet. */
  #memory: Buffer = Buffer.alloc(0);
  #bytes: Buffer = this.#memory;
  /** The place in the file of the next byte. */
  position: number;

  constructor(file: FileHandle, start: number, end: number, ahead: number) {
    this.#file = file;
    this.position = start;
    this.#end = end;
    this.#ahead = ahead;
  }

  get left(): number {
    return this.#end - this.position;
  }

  /** The next bytes, without moving; fewer at the end. */
  async peek(most: number): Promise<Buffer> {
    const count = Math.min(most, this.left);
    if (this.#bytes.length < count) {
      const length = Math.min(this.left, Math.max(count, this.#ahead));
      if (this.#memory.length < length) this.#memory = Buffer.allocUnsafeSlow(length);
      this.#bytes = this.#memory.subarray(0, length);
      await readInto(this.#bytes, this.#file, this.position);
    }
    return this.#bytes.subarray(0, count);
  }

  skip(count: number): void {
    this.#bytes = this.#bytes.subarray(count);
    this.position += count;
  }

  async take(count: number): Promise<Buffer> {
    const bytes = await this.peek(count);
    this.skip(count);
    return bytes;
  }
}

/**
 * Reads bytes until the buffer is full.
 * @throws Damage if the file ends before, or the system does not read it
 */
export async function readInto(buffer: Buffer, file: FileHandle, position: number): Promise<void> {
  for (let done = 0; done < buffer.length;) {
    const { bytesRead } = await file
      .read(buffer, done, buffer.length - done, position + done)
      .catch((error: unknown) => {
        throw new Damage(`cannot be read at byte ${counted(position + done)}: ${errorMessage(error)}`);
      });
    if (bytesRead === 0) throw new Damage(`was cut off at byte ${counted(position + done)} while it was read`);
    done += bytesRead;
  }
}
