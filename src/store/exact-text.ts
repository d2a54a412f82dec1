import { customType } from "drizzle-orm/sqlite-core";

/** Any JavaScript string. One with lone surrogates has no UTF-8; it is stored as a blob of UTF-16LE. */
export const exactText = customType<{ data: string; driverData: string | Buffer }>({
  dataType: () => "text",
  toDriver: (value) => (value.isWellFormed() ? value : Buffer.from(value, "utf16le")),
  fromDriver: (value) => (typeof value === "string" ? value : value.toString("utf16le")),
});
