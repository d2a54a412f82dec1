import { and, asc, desc, eq, inArray } from "drizzle-orm";
import type { Prices } from "../models/cost.ts";
import { inTransaction } from "./file/transaction.ts";
import type { Store } from "./file/store.ts";
import { userPrices } from "./schema.ts";

/** Prices of a model, set by the user. */
export interface UserPrices {
  model: string;
  /** The server of the prices; null for every server without its own prices. */
  baseUrl: string | null;
  prices: Prices;
}

/** Stands for null in the table, because null would not be unique. */
const ANY_SERVER = "";

/** Sets prices, and replaces those for the same model and server. */
export function setUserPrices(store: Store, { model, baseUrl, prices: value }: UserPrices): void {
  inTransaction(store, () =>
    store.db
      .insert(userPrices)
      .values({ model, baseUrl: baseUrl ?? ANY_SERVER, value })
      .onConflictDoUpdate({ target: [userPrices.model, userPrices.baseUrl], set: { value } })
      .run(),
  );
}

/** @returns the removed prices; null if none were set */
export function unsetUserPrices(store: Store, model: string, baseUrl: string | null): UserPrices | null {
  const isMeant = and(eq(userPrices.model, model), eq(userPrices.baseUrl, baseUrl ?? ANY_SERVER));
  const row = inTransaction(store, () => store.db.delete(userPrices).where(isMeant).returning().get());
  return row ? fromRow(row) : null;
}

/** All prices that the user has set, ordered by model and server. */
export function listUserPrices(store: Store): UserPrices[] {
  return store.db.select().from(userPrices).orderBy(asc(userPrices.model), asc(userPrices.baseUrl)).all().map(fromRow);
}

/** The prices of a model at a server: those set for this server, else those for any server, else null. */
export function findUserPrices(store: Store, model: string, baseUrl: string): Prices | null {
  const row = store.db
    .select({ value: userPrices.value })
    .from(userPrices)
    .where(and(eq(userPrices.model, model), inArray(userPrices.baseUrl, [baseUrl, ANY_SERVER])))
    .orderBy(desc(userPrices.baseUrl))
    .get();
  return row?.value ?? null;
}

function fromRow({ model, baseUrl, value }: typeof userPrices.$inferSelect): UserPrices {
  return { model, baseUrl: baseUrl === ANY_SERVER ? null : baseUrl, prices: value };
}
