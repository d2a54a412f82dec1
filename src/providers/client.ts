/** The members that the clients of the SDKs of OpenAI, Together and Anthropic have: one generator writes all three. */
export interface Client {
  buildRequest(options: { path: string; body?: unknown }, context?: object): Promise<BuiltRequest>;
  get(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
  post(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
  delete(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
}

interface BuiltRequest {
  req: object;
  url: string;
  timeout: number;
}

export interface RequestOptions {
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** An object to send as JSON, or a stream of pieces. */
  body?: object | AsyncIterable<Uint8Array>;
  /** Milliseconds until the headers of the answer. */
  timeout: number;
  /** Costs as much time as everything else that an SDK does for a request; see `close` in transport.ts. */
  signal?: AbortSignal;
}

/**
 * Makes a client build the URL and the headers once for each path. Live requests differ only in their bodies, and building
 * the rest takes an SDK as long as everything else that it does for a request.
 */
export function buildOnce(client: Client): void {
  const build = client.buildRequest.bind(client);
  const known = new Map<string, BuiltRequest>();
  client.buildRequest = async (options, context) => {
    const built = known.get(options.path) ?? (await build(options, context));
    known.set(options.path, built);
    return { ...built, req: { ...built.req, body: JSON.stringify(options.body) } };
  };
}
