/** In bytes of UTF-8, with room for `.part.json`. */
const LONGEST_SEGMENT = 200;
const LONGEST_PATH = 1_000;
const DEEPEST = 12;

/** Names of devices on Windows, with any ending. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(?:\.|$)/i;

/**
 * Why a path that the Hub names is not safe as the path of a file in a folder, on any system; null if it is. Its segments
 * are separated by slashes.
 */
export function dangerIn(path: string): string | null {
  const segments = path.split("/");
  if (Buffer.byteLength(path) > LONGEST_PATH || segments.length > DEEPEST) return "it is too long";
  for (const segment of segments) {
    if (segment === "" || segment === "." || segment === "..") return "it could lead out of the folder";
    if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(segment)) return "it has control characters";
    if (/[\\:<>"|?*]/.test(segment)) return 'it has one of \\ : < > " | ? *';
    if (/^[.~]|[. ]$/.test(segment)) return "a part of it begins with a dot or ~, or ends with a dot or a space";
    if (DEVICE.test(segment)) return `${segment} is the name of a device on Windows`;
    if (Buffer.byteLength(segment) > LONGEST_SEGMENT) return "it is too long";
  }
  return null;
}
