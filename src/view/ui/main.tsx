import { render } from "preact";
import { place, parsePlace } from "./address.ts";
import { App } from "./app.tsx";
import { createFileRows } from "./from-file.ts";
import { fromServer, openSession } from "./from-server.ts";
import { listenToKeys } from "./keys.tsx";
import { asError, isFile, readFrom } from "./loading.ts";
import { followRun } from "./run-state.ts";
import { followFilter } from "./search.ts";
import { Failure } from "./notices.tsx";

const root = document.querySelector("#app")!;

/** Takes the token out of the address, where it would be copied with a link. */
async function enter(): Promise<void> {
  const words = new URLSearchParams(location.hash.slice(1));
  const token = words.get("token");
  if (token === null) return;
  words.delete("token");
  history.replaceState(null, "", `${location.pathname}#${words}`);
  place.value = parsePlace(location.hash);
  await openSession(token);
}

async function start(): Promise<void> {
  if (isFile) {
    const file = createFileRows();
    readFrom(file.rows);
    if (place.value.run !== file.run) place.value = { ...place.value, run: file.run, view: "grid" };
  } else {
    readFrom(fromServer);
    await enter();
  }
  followRun();
  followFilter();
  listenToKeys();
  render(<App />, root);
}

// The address of a server that was started again, opened where its page is open already.
addEventListener("popstate", () => {
  if (!isFile && new URLSearchParams(location.hash.slice(1)).has("token")) location.reload();
});

start().catch((error: unknown) => render(<Failure error={asError(error)} />, root));
