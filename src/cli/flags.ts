import { Option } from "clipanion";
import { isEnum } from "typanion";
import { PROVIDERS } from "../config/providers.ts";
import { isNumber } from "./number.ts";
import { either } from "./render/text.ts";

/* Flags that several commands have, each as a field of its own. */

/** @param what what the provider is to the command */
export function providerFlag(what = "The provider") {
  return Option.String("--provider", { description: `${what}: ${either(PROVIDERS)}`, validator: isEnum(PROVIDERS) });
}

export function baseUrlsFlag() {
  return Option.Array("--base-url", {
    description: "The base URL of an OpenAI-compatible server; give it again for further servers of the same model",
  });
}

export function testFlag() {
  return Option.Boolean("--test", false, { description: "Only the first 10 inputs and the first 4 perspectives" });
}

export function sampleSizeFlag() {
  return Option.String("--sample-size", { description: "How many inputs to use", validator: isNumber() });
}

/** Confirms the servers of a stored run. */
export function confirmedUrlsFlag() {
  return Option.Array("--base-url", {
    description: "Confirm the base URL of the run, if you have not named that server on this machine",
  });
}
