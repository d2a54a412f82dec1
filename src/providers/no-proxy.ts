import { BlockList, isIP } from "node:net";

/**
 * The hosts that are reached without a proxy, for undici, which knows no ranges of addresses: what NO_PROXY has, and the
 * host of a base URL where it is an address in a range of it, such as 10.0.0.0/8. Names are not looked up.
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
