import type { RunSummary } from "../runs/summary.ts";
import type { Watch } from "../../view/events.ts";
import { ViewError } from "../../view/view-error.ts";

/** How often the totals of watched runs are looked at. */
const POLL_MS = 1_000;

interface Watcher {
  run: string;
  onChange(summary: RunSummary | null): void;
  /** What it was told last, as JSON; null if nothing yet. */
  told: string | null;
}

/** Reads totals of runs; null if nothing has changed. */
type Totals = (runs: readonly string[], isForced: boolean) => Promise<RunSummary[] | null>;

/** Watches the totals of runs. Reads nothing while nobody watches. @param onError gets errors of reading */
export function watching(totals: Totals, onError: (error: unknown) => void): Watch {
  const watchers = new Set<Watcher>();
  let timer: NodeJS.Timeout | undefined;
  let isReading = false;

  async function look(): Promise<void> {
    if (isReading) return;
    isReading = true;
    try {
      const asked = [...watchers];
      const isForced = asked.some(({ told }) => told === null);
      const found = await totals([...new Set(asked.map(({ run }) => run))], isForced);
      if (found !== null)
        for (const watcher of asked) tell(watcher, found.find(({ id }) => id === watcher.run) ?? null);
    } catch (error) {
      // The next look may succeed. One that waited too long is no mistake.
      if (!(error instanceof ViewError)) onError(error);
    } finally {
      isReading = false;
    }
  }

  function tell(watcher: Watcher, summary: RunSummary | null): void {
    const told = JSON.stringify(summary);
    if (told === watcher.told || !watchers.has(watcher)) return;
    watcher.told = told;
    watcher.onChange(summary);
  }

  return (run, onChange) => {
    const watcher: Watcher = { run, onChange, told: null };
    watchers.add(watcher);
    timer ??= setInterval(() => void look(), POLL_MS);
    void look();
    return () => {
      watchers.delete(watcher);
      if (watchers.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  };
}
