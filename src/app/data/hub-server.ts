import { UsageError } from "../../errors.ts";
import { setValue, type Variables, valueOf } from "../server/environment.ts";
import { normaliseBaseUrl } from "../server/target.ts";

const HUB = "https://huggingface.co";

/** Where datasets are pulled from, and the token that may go there. */
export interface HubServer {
  endpoint: string;
  token: string | undefined;
}

/**
 * The Hub of the environment. A token goes only to a server that the user trusts with it: the default one, one that the
 * shell names, or one that the same `.env` names.
 * @throws UsageError when HF_ENDPOINT or HF_TOKEN cannot be one
 */
export function hubServer(variables: Variables): HubServer {
  const endpoint = normaliseBaseUrl(valueOf(variables, "HF_ENDPOINT") ?? HUB, "HF_ENDPOINT");
  const isOfFile = endpoint !== HUB && setValue(variables.shell, "HF_ENDPOINT") === undefined;
  const token = isOfFile ? setValue(variables.file, "HF_TOKEN") : valueOf(variables, "HF_TOKEN");
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new UsageError(
      "HF_TOKEN has a character that is not allowed in a token",
      "Copy the whole token again, without line breaks.",
    );
  }
  return { endpoint, token };
}
