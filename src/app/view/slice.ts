/** How long one request may read. A statement cannot be interrupted, so this is looked at between rows. */
const SLICE_MS = 200;

/** The time that one request has. */
export interface Slice {
  isOver(): boolean;
}

export function beginSlice(): Slice {
  const end = performance.now() + SLICE_MS;
  return { isOver: () => performance.now() >= end };
}

/** The time is over before there is anything to answer. The same request goes on from there. */
export class SliceOver extends Error {
  override readonly name = "SliceOver";
}
