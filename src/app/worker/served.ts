import { type ProviderName, PROVIDERS } from "../../config/providers.ts";
import { UsageError } from "../../errors.ts";
import { OF_OTHER_SERVERS, providers } from "../../providers/index.ts";
import type { Destination } from "../../queue/destination.ts";
import { setValue, type Variables, valueOf } from "../server/environment.ts";
import { type KeysFrom, normaliseBaseUrl, type Server } from "../server/target.ts";

/** A server that a worker sends requests to. Its command line or its environment names it, never a job. */
export type WorkerServer = Server & { keysFrom: KeysFrom };

/** A queue that a worker reads, and the servers that may answer its jobs. */
export interface Served {
  destination: Destination;
  servers: WorkerServer[];
}

export interface ServedOptions {
  provider?: ProviderName | undefined;
  /** The base URLs of the command line. */
  baseUrls?: readonly string[] | undefined;
  /** The name that all of them share. */
  server?: string | undefined;
}

const SERVER_NAME = /^[\w.-]{1,100}$/;

/**
 * Which jobs a worker takes, and where it sends them.
 * @throws UsageError when a flag or a base URL does not fit
 */
export function servedBy({ provider: given, baseUrls = [], server }: ServedOptions, variables: Variables): Served[] {
  if (given === undefined && baseUrls.length === 0) {
    throw new UsageError(
      "the worker has no server",
      `Add --base-url with the URL of a server, or --provider with ${PROVIDERS.join(", ")}.`,
    );
  }
  if (server !== undefined && !SERVER_NAME.test(server)) {
    throw new UsageError(
      "--server is not a name of servers",
      "Expected a name of 1 to 100 letters, digits, dots, dashes and underscores.",
    );
  }
  const provider = given ?? OF_OTHER_SERVERS;
  const servers = serversOf(provider, baseUrls, variables);
  if (server !== undefined) return [{ destination: { provider, server }, servers }];
  return servers.map((one) => ({ destination: { provider, server: one.baseUrl ?? provider }, servers: [one] }));
}

function serversOf(provider: ProviderName, given: readonly string[], variables: Variables): WorkerServer[] {
  const { remote } = providers[provider];
  if (remote === null) {
    if (given.length > 0) throw new UsageError(`--provider ${provider} has no server`, "Leave --base-url out.");
    return [{ provider, baseUrl: null, baseUrlSource: "default", keysFrom: "anywhere" }];
  }
  if (given.length > 0) {
    const urls = new Set(given.map((url) => normaliseBaseUrl(url, "--base-url")));
    return [...urls].map((baseUrl) => ({ provider, baseUrl, baseUrlSource: "flag", keysFrom: "anywhere" }));
  }
  const named = valueOf(variables, remote.baseUrlVariable);
  const baseUrl = normaliseBaseUrl(named ?? remote.defaultBaseUrl, remote.baseUrlVariable);
  // A key of the shell does not go to a server that only the file of the folder names; see docs/security.md.
  const isOfFile = named !== undefined && setValue(variables.shell, remote.baseUrlVariable) === undefined;
  const baseUrlSource = baseUrl === remote.defaultBaseUrl ? "default" : "environment";
  return [{ provider, baseUrl, baseUrlSource, keysFrom: isOfFile ? "file" : "anywhere" }];
}
