import { customType, integer } from "drizzle-orm/sqlite-core";

/** Any JavaScript string. UTF-8 cannot encode lone surrogates, so a string with any is stored as a blob of UTF-16LE. */
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

/** A text or a whole number. The column converts neither, so that "07" and 7 stay what they are. */
export const textOrInteger = customType<{ data: string | number; driverData: string | bigint | number | null }>({
  dataType: () => "blob",
  toDriver: storedScalar,
  fromDriver: (value) => value as string | number,
});

/** What a column of {@link textOrInteger} stores of a value, for prepared SQL, which stores a number as a real. */
export function storedScalar(value: string | number | null): string | bigint | null {
  return typeof value === "number" ? BigInt(value) : value;
}

/** A value stored as JSON. If the column has anything else, the database is damaged; the error has SQLite's code for that. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the type of the column
export function storedJson<T>(name: string) {
  return customType<{ data: T; driverData: string }>({
    dataType: () => "text",
    toDriver: (value) => JSON.stringify(value),
    fromDriver: (text) => jsonFrom(text, name) as T,
  })(name);
}

function jsonFrom(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const damage = new Error(`a ${name} in the database is not JSON`, { cause: error });
    throw Object.assign(damage, { code: "SQLITE_CORRUPT" });
  }
}

/** What the column of the values that prompts use stores of them; null if there are none. */
export function storedColumns(values: Readonly<Record<string, unknown>>): string | null {
  return Object.keys(values).length === 0 ? null : JSON.stringify(values);
}

/** The values of that column, as prepared SQL reads it. */
export function columnsFrom(stored: string | null): Record<string, unknown> {
  return stored === null ? {} : (jsonFrom(stored, "columns") as Record<string, unknown>);
}

/** The columns of token counts, whose sums runs have. */
export const usage = () => ({
  promptTokens: integer("prompt_tokens").notNull().default(0),
  completionTokens: integer("completion_tokens").notNull().default(0),
  /** A subset of the prompt tokens. */
  cachedTokens: integer("cached_tokens").notNull().default(0),
  /** Written to the provider's cache: another subset of the prompt tokens. */
  cacheWriteTokens: integer("cache_write_tokens").notNull().default(0),
  /** A subset of the completion tokens. */
  reasoningTokens: integer("reasoning_tokens").notNull().default(0),
  /** Whether datagen counted any of these tokens, because the provider reported none. */
  tokensEstimated: integer("tokens_estimated", { mode: "boolean" }).notNull().default(false),
});

/** The columns of the token counts of one request. */
export const requestUsage = () => ({
  ...usage(),
  /** Of the tokens written to the cache, those that it keeps for an hour. They have their own price. */
  cacheWrite1hTokens: integer("cache_write_1h_tokens").notNull().default(0),
});
