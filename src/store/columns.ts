import { customType } from "drizzle-orm/sqlite-core";

/** Any JavaScript string. One with lone surrogates has no UTF-8; it is stored as a blob of UTF-16LE. */
export const exactText = customType<{ data: string; driverData: string | Buffer }>({
  dataType: () => "text",
  toDriver: storedText,
  fromDriver: textFrom,
});

/** What a column of {@link exactText} stores of a string, for prepared SQL. */
export function storedText(value: string): string | Buffer {
  return value.isWellFormed() ? value : Buffer.from(value, "utf16le");
}

/** The string of a column of {@link exactText}, as prepared SQL reads it. */
export function textFrom(value: string | Buffer): string {
  return typeof value === "string" ? value : value.toString("utf16le");
}

/** A value as JSON. Where what is stored is no JSON, the database is damaged, and the error says so as SQLite does. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the type of the column
export function storedJson<T>(name: string) {
  return customType<{ data: T; driverData: string }>({
    dataType: () => "text",
    toDriver: (value) => JSON.stringify(value),
    fromDriver(text) {
      try {
        return JSON.parse(text) as T;
      } catch (error) {
        const damage = new Error(`a ${name} in the database is no JSON`, { cause: error });
        throw Object.assign(damage, { code: "SQLITE_CORRUPT" });
      }
    },
  })(name);
}
