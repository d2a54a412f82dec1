import { FIGURES_VERSION, packed, unpacked } from "../../stats/packed.ts";
import type { KnownFigures } from "../../stats/stream.ts";
import { FeatureFile } from "../../store/features.ts";
import type { Store } from "../../store/file/store.ts";

/** Figures of answers that earlier statistics computed, from the file beside the database. */
export function openKnownFigures(store: Store): KnownFigures & Disposable {
  const file = new FeatureFile(store.path, FIGURES_VERSION);
  return {
    get(key) {
      const bytes = file.get(key);
      return bytes === null ? null : unpacked(bytes);
    },
    put: (key, figures) => file.put(key, packed(figures)),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}
