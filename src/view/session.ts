import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** What this start of the server lets in. */
export interface Session {
  /** The secret in the address that the user opens. It stands behind the `#`, which browsers do not send. */
  token: string;
  /** The name of the cookie has the port, because browsers send cookies of a host to all its ports. */
  cookieName: string;
  /** Where all data is: a path that nobody else knows, because browsers send the cookie to whoever has another port. */
  dataPath: string;
  isToken(text: string): boolean;
  /** Whether a path is below {@link dataPath}. */
  hasPath(path: string): boolean;
  /** @param header the header `Cookie` of a request, if it has one */
  hasCookie(header: string | undefined): boolean;
  /** The value of the header that gives a browser the cookie. */
  setCookie(isSecure: boolean): string;
}

export function createSession(port: number): Session {
  // The cookie and the path have secrets of their own, so that a request never shows the token.
  const [token, secret, place] = [newSecret(), newSecret(), newSecret()];
  const dataPath = `/api/${place}`;
  const cookieName = `datagen_view_${port}`;
  return {
    token,
    cookieName,
    dataPath,
    isToken: (text) => isEqual(text, token),
    hasPath: (path) => {
      const [, api, segment = ""] = path.split("/");
      return api === "api" && isEqual(segment, place);
    },
    hasCookie: (header = "") =>
      header.split(";").some((part) => {
        const [name = "", ...value] = part.trim().split("=");
        return name === cookieName && isEqual(value.join("="), secret);
      }),
    setCookie: (isSecure) =>
      `${cookieName}=${secret}; HttpOnly; SameSite=Strict; Path=${dataPath}${isSecure ? "; Secure" : ""}`,
  };
}

function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** Compares digests, so that the time says nothing about where the texts differ, or how long they are. */
function isEqual(text: string, secret: string): boolean {
  const [one, other] = [text, secret].map((each) => createHash("sha256").update(each).digest());
  return one !== undefined && other !== undefined && timingSafeEqual(one, other);
}
