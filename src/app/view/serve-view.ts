import { errorCode, UsageError } from "../../errors.ts";
import { runNamed } from "../../store/runs/runs.ts";
import type { Store } from "../../store/file/store.ts";
import type { Ask } from "../../view/api.ts";
import { startServer } from "../../view/server.ts";
import type { OnEvent } from "../events.ts";
import { shellFiles, workerFile } from "./built-files.ts";
import { watching } from "./live.ts";
import { ReadingThread } from "./reading-thread.ts";
import { StatisticsThreads } from "./statistics-thread.ts";

export interface ServeViewOptions {
  /** The run that the page begins with. Default: the list of all. */
  run?: string | undefined;
  /** Default: any free one. */
  port?: number | undefined;
  /** The origin at which a browser reaches the server through a tunnel, such as `http://localhost:8080`. */
  publicOrigin?: string | undefined;
  /** Gets warnings about errors of the server. */
  onEvent?: OnEvent | undefined;
}

/** A server that is running. */
export interface ServedView {
  /** The address to open, with the token that lets a browser in. */
  url: string;
  port: number;
  /** Rejects if the server can no longer read. It never resolves. */
  failed: Promise<never>;
  close(): Promise<void>;
}

/**
 * Serves the page that shows the runs of a database, on this machine only. It reads the database in a thread, on a
 * connection of its own, and writes nothing but the cache of statistics.
 * @throws UsageError when there is no such run, the port cannot be had, or an option is wrong
 */
export async function serveView(store: Store, options: ServeViewOptions = {}): Promise<ServedView> {
  const { run, port = 0, onEvent = () => {} } = options;
  const publicOrigin = options.publicOrigin === undefined ? null : originIn(options.publicOrigin);
  const id = run === undefined ? null : runNamed(store, run).publicId;
  const shell = shellFiles();
  const onBug = (error: unknown) => {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    onEvent({ type: "warning", message: `a request of the page failed: ${message}` });
  };
  const thread = new ReadingThread(workerFile(), store.path);
  const statistics = new StatisticsThreads(store.path);
  const ask: Ask = async (question, args, signal) => {
    if (question !== "statistics") return await thread.ask(question, args, signal);
    const [asked] = args as [string];
    return statistics.answer(asked, await thread.version(asked, signal));
  };
  const watch = watching((runs, isForced) => thread.totals(runs, isForced), onBug);
  try {
    const server = await startServer({ ask, watch, shell, onBug, port, publicOrigin });
    const origin = publicOrigin?.origin ?? `http://127.0.0.1:${server.port}`;
    const url = `${origin}/#token=${server.token}${id === null ? "" : `&run=${id}`}`;
    return {
      url,
      port: server.port,
      failed: thread.failed,
      close: async () => {
        server.close();
        statistics.close();
        await thread.close();
      },
    };
  } catch (error) {
    await thread.close();
    throw asPortError(error, port);
  }
}

/** @throws UsageError unless it is the origin of a web page */
function originIn(text: string): URL {
  const url = URL.parse(text);
  // Besides these, an address has a path, a query, a fragment, or the name of a user.
  if (url && /^https?:$/.test(url.protocol) && [`${url.origin}/`, url.origin].includes(url.href)) return url;
  throw new UsageError(
    `--public-origin: expected an origin, found ${JSON.stringify(text)}`,
    "An origin is a scheme, a host and a port, such as http://localhost:8080.",
  );
}

function asPortError(error: unknown, port: number): unknown {
  const code = errorCode(error);
  if (code === "EADDRINUSE") {
    return new UsageError(
      `the port ${port} is in use`,
      "Name another one with --port; without it any free one is taken.",
    );
  }
  return code === "EACCES"
    ? new UsageError(`the port ${port} cannot be used by you`, "Name one from 1024 on with --port.")
    : error;
}
