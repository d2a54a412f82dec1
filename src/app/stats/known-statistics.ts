import { deserialize, serialize } from "node:v8";
import { crc32 } from "node:zlib";
import { FIGURES_VERSION, packed, unpacked } from "../../stats/packed.ts";
import type { KnownFigures } from "../../stats/stream.ts";
import { FeatureFile } from "../../store/features.ts";
import type { Store } from "../../store/file/store.ts";

/** Of how many answers to the same input and reference figures are kept. */
const MOST_ANSWERS = 1_000;
const CHECK_BYTES = 4;

/** What earlier statistics computed, from the file beside the database. */
export interface KnownStatistics extends KnownFigures, Disposable {
  /** What was collected of a run, piece by piece, up to the first damaged one. */
  collected(name: string): Iterator<unknown>;
  keepCollected(name: string, values: Iterable<unknown>): void;
}

export function openKnownStatistics(store: Store): KnownStatistics {
  const file = new FeatureFile(store.path, FIGURES_VERSION);
  return {
    of(pair, size) {
      const bytes = file.get(pair);
      return (bytes === null ? null : unpacked(bytes, size)) ?? new Map<number, Float64Array>();
    },
    keep(pair, size, answers) {
      if (answers.size <= MOST_ANSWERS) file.put(pair, packed(answers, size));
    },
    *collected(name) {
      for (const bytes of file.pieces(name)) {
        const piece = readPiece(bytes);
        if (piece === null) return;
        yield piece.value;
      }
    },
    keepCollected(name, values) {
      function* pieces(): Generator<Uint8Array> {
        for (const value of values) {
          const content = serialize(value);
          const check = Buffer.alloc(CHECK_BYTES);
          check.writeUInt32LE(crc32(content));
          yield Buffer.concat([check, content]);
        }
      }
      file.keepPieces(name, pieces());
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

/** @returns null if it is damaged, or another version of Node.js wrote it in a form that this one cannot read */
function readPiece(bytes: Uint8Array): { value: unknown } | null {
  try {
    const content = bytes.subarray(CHECK_BYTES);
    const check = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32LE(0);
    return crc32(content) === check ? { value: deserialize(content) as unknown } : null;
  } catch {
    return null;
  }
}
