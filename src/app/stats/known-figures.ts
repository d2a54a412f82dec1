import { FIGURES_VERSION, packed, unpacked } from "../../stats/packed.ts";
import type { KnownFigures } from "../../stats/stream.ts";
import { FeatureFile } from "../../store/features.ts";
import type { Store } from "../../store/file/store.ts";

/** Of how many answers to the same input and reference figures are kept. */
const MOST_ANSWERS = 1_000;

/** Figures of answers that earlier statistics computed, from the file beside the database. */
export function openKnownFigures(store: Store): KnownFigures & Disposable {
  const file = new FeatureFile(store.path, FIGURES_VERSION);
  return {
    of(pair, size) {
      const bytes = file.get(pair);
      return (bytes === null ? null : unpacked(bytes, size)) ?? new Map<number, Float64Array>();
    },
    keep(pair, size, answers) {
      if (answers.size <= MOST_ANSWERS) file.put(pair, packed(answers, size));
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}
