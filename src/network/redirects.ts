/*
 * Decides which redirects are followed, both for single answers and for files.
 */

/** How many redirects in a row are followed. */
export const MOST_HOPS = 5;

/** Statuses that keep the method and the body. */
const KEEPING = new Set([301, 307, 308]);

/** The target of a redirect, and whether the key, the headers and the prompt may go there. */
export interface Redirect {
  url: URL;
  isSameServer: boolean;
}

/** @returns null if the answer is not a redirect, or leads from https to http */
export function redirectOf(status: number, location: string | null, from: URL): Redirect | null {
  if (status < 300 || status > 399 || location === null || !URL.canParse(location, from.href)) return null;
  const url = new URL(location, from);
  if (url.protocol !== "https:" && (url.protocol !== "http:" || from.protocol === "https:")) return null;
  const isUpgrade = from.protocol === "http:" && url.protocol === "https:" && url.hostname === from.hostname;
  return { url, isSameServer: url.origin === from.origin || isUpgrade };
}

/** The next address of a request for an answer; null if the redirect is not followed. */
export function nextOf(status: number, location: string | null, from: URL): URL | null {
  const redirect = KEEPING.has(status) ? redirectOf(status, location, from) : null;
  return redirect?.isSameServer ? redirect.url : null;
}

/** An address without its query and user, which may be secret. It is not cut, so that a key in it can still be found. */
export function shownAddress(location: string | null, from: URL): string | null {
  if (location === null || !URL.canParse(location, from.href)) return null;
  const { protocol, host, pathname } = new URL(location, from);
  return `${protocol}//${host}${pathname}`;
}
