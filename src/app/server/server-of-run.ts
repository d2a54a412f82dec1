import { isServerUrl } from "../../config/schema.ts";
import { DeclinedError, UsageError } from "../../errors.ts";
import { providers } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import type { Store } from "../../store/file/store.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import { bindServer, isBound } from "./bound-servers.ts";
import { type Environment, readVariables, setValue, type Variables, valueOf } from "./environment.ts";
import type { OnEvent } from "../events.ts";
import {
  connectionOf,
  eachServer,
  isOwnHost,
  type KeysFrom,
  keyVariableOf,
  normaliseBaseUrl,
  type Server,
  type Target,
} from "./target.ts";

/** A server that only a database names: this user has not named it on this machine. */
export interface ForeignServer {
  run: string;
  baseUrl: string;
  /** The variable whose key would be sent there. */
  variable: string;
}

/** How the user can confirm such a server. */
export interface Confirmation {
  /** The base URL that the user gives, or several; each must be the run's. */
  baseUrl?: string | readonly string[] | undefined;
  /** Asks the user. Left out if nobody can be asked. */
  confirm?: ((server: ForeignServer) => Promise<boolean>) | undefined;
}

/**
 * The connections to the servers of a stored run. The database, and so the server in it, may be somebody else's. A key goes
 * there only if the server is the provider's own, or if the user has named it on this machine.
 * @throws UsageError when neither holds and nobody confirms the server, or when a key is missing
 * @internal
 */
export async function connectionsOfRun(
  store: Store,
  run: RunRow,
  { environment, baseUrl, confirm }: Confirmation & { environment?: Environment | undefined },
): Promise<Connection[]> {
  const variables = readVariables(environment);
  const given = [baseUrl ?? []].flat().map((url) => normaliseBaseUrl(url, "--base-url"));
  const baseUrls = baseUrlsOf(run);
  const other = given.find((url) => !baseUrls.includes(url));
  if (other !== undefined) {
    throw new UsageError(
      `run ${run.publicId} uses ${baseUrls.join(", ") || "no server"}, but --base-url names another one`,
      "A run keeps its servers. To use another one, run the config again with --base-url.",
    );
  }
  const connections: Connection[] = [];
  for (const server of eachServer({ ...run, baseUrls })) {
    const keysFrom = await keysFor(store, server, variables, given, confirm);
    connections.push(connectionOf({ ...server, keysFrom }, run.config, variables));
  }
  return connections;
}

/**
 * The base URLs of a run's servers; none without a network.
 * @internal
 */
export function baseUrlsOf({ baseUrl, servers }: Pick<RunRow, "baseUrl" | "servers">): string[] {
  return servers ?? (baseUrl === null ? [] : [baseUrl]);
}

async function keysFor(
  store: Store,
  run: RunRow,
  variables: Variables,
  given: readonly string[],
  confirm: Confirmation["confirm"],
): Promise<KeysFrom> {
  const { publicId, provider, baseUrl, baseUrlSource } = run;
  const { remote } = providers[provider];
  if (baseUrl === null || remote === null) return "anywhere";
  if (!isServerUrl(baseUrl) || normaliseBaseUrl(baseUrl, "it") !== baseUrl) {
    throw new UsageError(
      `the base URL of run ${publicId} is not one that datagen stores`,
      "The database was changed by something else. Run the config again.",
    );
  }
  const variable = keyVariableOf(run);
  if (variable === null || isOwnHost(provider, baseUrl)) return "anywhere";
  const isNamedBy = (environment: Environment) => {
    const url = setValue(environment, remote.baseUrlVariable);
    return url !== undefined && isServerUrl(url) && normaliseBaseUrl(url, remote.baseUrlVariable) === baseUrl;
  };
  const binding = { variable, baseUrl };
  if (given.includes(baseUrl) || isNamedBy(variables.shell)) {
    // If the binding cannot be stored, the user has to name the server again next time.
    bindServer(store, binding);
    return "anywhere";
  }
  if (isBound(store, binding)) return "anywhere";
  if (baseUrlSource === "environment" && isNamedBy(variables.file)) return "file";
  const headers = remote.keyVariable.replace(/API_KEY$/, "CUSTOM_HEADERS");
  if (valueOf(variables, variable) === undefined && !process.env[headers]) return "nowhere";
  if (!confirm) {
    throw new UsageError(
      `run ${publicId} uses ${baseUrl}, a server that you have not named on this machine; ${variable} may not go there yet`,
      `The database may be somebody else's. If you know the server, add --base-url with its URL, or set ${remote.baseUrlVariable} to it. If ${variable} is set neither in the environment nor in .env, the run continues without a key.`,
    );
  }
  if (!(await confirm({ run: publicId, baseUrl, variable }))) {
    throw new DeclinedError(`nothing was sent to ${baseUrl}`, "The run stays as it is.");
  }
  bindServer(store, binding);
  return "anywhere";
}

/** Stores the servers of a new run as named by the user, and warns about their keys if necessary. */
export function rememberServers(
  store: Store,
  { target, variables }: { target: Target; variables: Variables },
  connections: readonly Connection[],
  onEvent: OnEvent,
): void {
  for (const [at, server] of eachServer(target).entries()) {
    const connection = connections[at];
    if (!connection) continue;
    bindTarget(store, server, connection.apiKey !== undefined, onEvent);
    const message = keyLeftOut(server, connection, variables);
    if (message !== null) onEvent({ type: "warning", message });
  }
}

/**
 * Stores that the user has named the server of a new run, for `resume`.
 * @internal
 */
export function bindTarget(store: Store, target: Target, hasKey: boolean, onEvent: OnEvent): void {
  const binding = bindingOf(target);
  if (binding === null) return;
  const reason = bindServer(store, binding);
  if (reason === null || !hasKey) return;
  const message = `datagen cannot remember that you use ${binding.baseUrl}, because ${reason}; to resume the run, add --base-url with this URL`;
  onEvent({ type: "warning", message });
}

/** Null if there is nothing to store: a server named by `.env` always gets keys of the same file. */
function bindingOf(target: Server & { keysFrom: KeysFrom }): { variable: string; baseUrl: string } | null {
  const { provider, baseUrl, keysFrom } = target;
  const variable = keyVariableOf(target);
  if (baseUrl === null || variable === null || keysFrom !== "anywhere" || isOwnHost(provider, baseUrl)) return null;
  return { variable, baseUrl };
}

/**
 * A warning if a server gets no key because only `.env` names it; else null.
 * @internal
 */
export function keyLeftOut(
  target: Server & { keysFrom: KeysFrom },
  { apiKey }: Connection,
  variables: Variables,
): string | null {
  const variable = keyVariableOf(target);
  const { remote } = providers[target.provider];
  if (target.keysFrom !== "file" || apiKey !== undefined || variable === null || remote === null) return null;
  if (setValue(variables.shell, variable) === undefined) return null;
  return `${remote.baseUrlVariable} comes from .env, so only a key from .env is sent there, not the ${variable} of the shell; put the key into .env too, or set ${remote.baseUrlVariable} in the shell`;
}
