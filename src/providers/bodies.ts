import {
  brotliDecompressSync,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
  type ZlibOptions,
} from "node:zlib";
import { errorCode } from "../errors.ts";

/** The most bytes of all bodies that are being read. A single body may always be read to its end. */
const SHARED_BYTES = 64_000_000;

/** The size of the blocks into which small pieces are copied. */
const PIECE_BYTES = 65_536;

let sharedBytes = 0;
/** The bodies of which a part has arrived, the oldest first. */
const reading = new Set<Body>();
/** The bodies that wait for others, with the functions that resume them. */
const waiting = new Map<Body, () => void>();

/** A body that is being read. Its bytes have a limit, and count towards the limit of all bodies. */
export class Body {
  readonly #most: number;
  /** All pieces but the last are full. */
  readonly #pieces: Buffer[] = [];
  /** The used bytes of the last piece. */
  #filled = 0;
  #size = 0;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  /**
   * Adds a piece.
   * @param resume continues reading the body, if it has to wait for others
   * @returns "full" if the piece passes the limit, "wait" if reading must pause until `resume` is called
   */
  add(piece: Buffer, resume: () => void): "more" | "wait" | "full" {
    if (this.#size + piece.length > this.#most) return "full";
    this.#append(piece);
    sharedBytes += piece.length;
    reading.add(this);
    if (sharedBytes <= SHARED_BYTES || isOldest(this)) return "more";
    waiting.set(this, resume);
    return "wait";
  }

  /** Keeps large pieces, and the first, as they are. Copies small ones into blocks, because every buffer has a cost. */
  #append(piece: Buffer): void {
    this.#size += piece.length;
    const last = this.#pieces.at(-1);
    if (last && piece.length <= last.length - this.#filled) {
      this.#filled += piece.copy(last, this.#filled);
      return;
    }
    if (last) this.#pieces[this.#pieces.length - 1] = last.subarray(0, this.#filled);
    const isKept = !last || piece.length >= PIECE_BYTES / 2;
    const next = isKept ? piece : Buffer.allocUnsafeSlow(PIECE_BYTES);
    if (!isKept) piece.copy(next);
    this.#filled = piece.length;
    this.#pieces.push(next);
  }

  /** Whether any of it has arrived. */
  get hasBegun(): boolean {
    return this.#size > 0;
  }

  /** Returns all bytes that have arrived, and lets other bodies continue. */
  end(): Buffer {
    if (reading.delete(this)) {
      sharedBytes -= this.#size;
      waiting.delete(this);
      if (waiting.size > 0) wakeOthers();
    }
    const [only, ...more] = this.#pieces.splice(0);
    const bytes = only && more.length > 0 ? Buffer.concat([only, ...more], this.#size) : (only ?? Buffer.alloc(0));
    this.#size = 0;
    return bytes;
  }
}

function isOldest(body: Body): boolean {
  return reading.values().next().value === body;
}

function wakeOthers(): void {
  for (const [body, resume] of waiting) {
    if (sharedBytes > SHARED_BYTES && !isOldest(body)) continue;
    waiting.delete(body);
    // Not at once: if undici is in the middle of another answer, resuming here would stop all answers.
    setImmediate(resume);
  }
}

/** The decoded body passes its limit. */
export class TooLargeError extends Error {
  override readonly name = "TooLargeError";
}

const CODINGS: Record<string, (bytes: Buffer, options: ZlibOptions) => Buffer> = {
  gzip: gunzipSync,
  "x-gzip": gunzipSync,
  deflate: (bytes, options) => (isZlib(bytes) ? inflateSync(bytes, options) : inflateRawSync(bytes, options)),
  br: brotliDecompressSync,
  zstd: (bytes, { maxOutputLength }) =>
    zstdDecompressSync(bytes, maxOutputLength === undefined ? {} : { maxOutputLength }),
};

function isZlib(bytes: Buffer): boolean {
  return (bytes[0] ?? 0) % 16 === 8 && bytes.length > 1 && bytes.readUInt16BE(0) % 31 === 0;
}

/**
 * The text of a body. Requests ask for no compression, but some servers compress all the same, with or without a header.
 * @param coding the header `content-encoding`
 * @throws TooLargeError when the text has more than `mostBytes`
 */
export function decodeBody(bytes: Buffer, coding: string, mostBytes: number): string {
  let decoded = bytes;
  const names = coding.toLowerCase().split(",").toReversed();
  for (const name of names.slice(0, 4)) decoded = decodeOne(decoded, CODINGS[name.trim()], mostBytes);
  if (isGzip(decoded)) decoded = decodeOne(decoded, gunzipSync, mostBytes);
  // Skip a byte order mark.
  const start = decoded[0] === 0xef && decoded[1] === 0xbb && decoded[2] === 0xbf ? 3 : 0;
  return decoded.toString("utf8", start);
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function decodeOne(bytes: Buffer, decode: (typeof CODINGS)[string] | undefined, mostBytes: number): Buffer {
  if (!decode || bytes.length === 0) return bytes;
  try {
    return decode(bytes, { maxOutputLength: mostBytes });
  } catch (error) {
    if (errorCode(error) === "ERR_BUFFER_TOO_LARGE") throw new TooLargeError("too large", { cause: error });
    // A proxy may have decoded the body without removing the header.
    return bytes;
  }
}
