import { BlockList, isIP } from "node:net";

/**
 * The hosts to reach without a proxy, in the form that undici takes. Undici knows no ranges of addresses: if the host of
 * the base URL is an address in a range of NO_PROXY, such as 10.0.0.0/8, it is added to the list. Names are not resolved.
 */
export function noProxyFor(baseUrl: string | null, environment: NodeJS.ProcessEnv = process.env): string {
  const listed = environment["no_proxy"] ?? environment["NO_PROXY"] ?? "";
  const host = baseUrl === null ? "" : new URL(baseUrl).hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(host) > 0 && isInRange(host, listed.split(/[,\s]+/)) ? `${listed},${host}` : listed;
}

function isInRange(address: string, entries: readonly string[]): boolean {
  const ranges = new BlockList();
  for (const entry of entries) {
    const [, network = "", bits = ""] = /^(\[?[\da-f:.]+\]?)\/(\d{1,3})$/i.exec(entry) ?? [];
    const start = network.replace(/^\[(.*)\]$/, "$1");
    const family = isIP(start);
    if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) continue;
    ranges.addSubnet(start, Number(bits), familyOf(family));
  }
  return ranges.check(address, familyOf(isIP(address)));
}

function familyOf(version: number): "ipv4" | "ipv6" {
  return version === 4 ? "ipv4" : "ipv6";
}
