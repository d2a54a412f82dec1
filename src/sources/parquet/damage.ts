/** What is wrong with the bytes of a Parquet file, without the place. Readers catch it, and add the file and the column. */
export class Damage extends Error {
  override readonly name: string = "Damage";
}

/** What is wrong with one value; the values after it may be right. */
export class BadValue extends Damage {
  override readonly name = "BadValue";
}

/** Bytes as `1,234`. */
export function counted(number: number): string {
  return number.toLocaleString("en");
}
