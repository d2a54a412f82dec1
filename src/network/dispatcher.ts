import { Agent, EnvHttpProxyAgent } from "undici";
import { UsageError } from "../errors.ts";
import { noProxyFor } from "./no-proxy.ts";

const PROXY_VARIABLES = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];

/** Sends requests directly, or through the proxies of HTTPS_PROXY, HTTP_PROXY and NO_PROXY. It has no timeout for headers of its own. */
export function createDispatcher(baseUrl: string | null, own: Agent.Options): Agent | EnvHttpProxyAgent {
  // The caller sets the timeouts.
  const options = { headersTimeout: 0, connections: null, ...own };
  return PROXY_VARIABLES.some((name) => process.env[name])
    ? proxyAgent({ ...options, noProxy: noProxyFor(baseUrl) })
    : new Agent(options);
}

function proxyAgent(options: EnvHttpProxyAgent.Options): EnvHttpProxyAgent {
  try {
    return new EnvHttpProxyAgent(options);
  } catch (error) {
    throw new UsageError(
      `${PROXY_VARIABLES.filter((name) => process.env[name]).join(" or ")} is not the URL of a proxy`,
      "Set it to a URL such as http://127.0.0.1:3128.",
      error,
    );
  }
}
