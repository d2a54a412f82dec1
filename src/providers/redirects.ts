/*
 * Which redirects are followed: the one place that decides it, for single answers and for files.
 */

/** How many redirects are followed one after the other. */
export const MOST_HOPS = 5;

/** These keep the method and the body. */
const KEEPING = new Set([301, 307, 308]);

/** What a redirect leads to, and whether what is meant for the server may go there: its key, its headers, a prompt. */
export interface Redirect {
  url: URL;
  isSameServer: boolean;
}

/** @returns null where the answer is none that leads anywhere; never from https to http */
export function redirectOf(status: number, location: string | null, from: URL): Redirect | null {
  if (status < 300 || status > 399 || location === null || !URL.canParse(location, from.href)) return null;
  const url = new URL(location, from);
  if (url.protocol !== "https:" && (url.protocol !== "http:" || from.protocol === "https:")) return null;
  const isUpgrade = from.protocol === "http:" && url.protocol === "https:" && url.hostname === from.hostname;
  return { url, isSameServer: url.origin === from.origin || isUpgrade };
}

/** Where a request for an answer goes on; null where it does not. */
export function nextOf(status: number, location: string | null, from: URL): URL | null {
  const redirect = KEEPING.has(status) ? redirectOf(status, location, from) : null;
  return redirect?.isSameServer ? redirect.url : null;
}

/** An address as it may be shown: a query or a user may hold what is secret. It is not cut: a key has to be found in it. */
export function shownAddress(location: string | null, from: URL): string | null {
  if (location === null || !URL.canParse(location, from.href)) return null;
  const { protocol, host, pathname } = new URL(location, from);
  return `${protocol}//${host}${pathname}`;
}
