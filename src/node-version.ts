/** Whether a version of Node is older than datagen needs; package.json says the same in `engines`. */
export function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < 22 || (major === 22 && minor < 19);
}

/** What to tell a user whose Node is too old. @param remedy what the user can do, with the line to type */
export function tooOld(remedy: string): string {
  return `datagen needs Node 22.19 or newer, and this is Node ${process.versions.node}; ${remedy}.`;
}
