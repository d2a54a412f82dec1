import { useEffect, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import type { Rows } from "../rows.ts";

let source: Rows | undefined;

/** Names where the rows come from. Called once, at the start. */
export function readFrom(found: Rows): void {
  source = found;
}

/** The rows of runs. */
export function rows(): Rows {
  if (source === undefined) throw new Error("the page has no rows yet");
  return source;
}

/** Whether the page is an exported file: it has one run, and nothing changes. */
export const isFile = document.querySelector("script[data-page]") !== null;

/** Counts how often the user asked for new answers; what was read before is read again. */
export const reading = signal(0);

export type Loaded<T> = { value: T; error: null } | { value: null; error: Error | null };

/** Reads something again whenever its key changes. */
export function useLoaded<T>(key: string, load: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; loaded: Loaded<T> } | null>(null);
  useEffect(() => {
    let isWanted = true;
    load().then(
      (value) => isWanted && setState({ key, loaded: { value, error: null } }),
      (error: unknown) => isWanted && setState({ key, loaded: { value: null, error: asError(error) } }),
    );
    return () => {
      isWanted = false;
    };
  }, [key]);
  return state?.key === key ? state.loaded : { value: null, error: null };
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
