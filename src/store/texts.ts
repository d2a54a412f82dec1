import { eq, sql } from "drizzle-orm";
import { oncePerStore, placeholders, type Store } from "./file/store.ts";
import { texts } from "./schema.ts";

const statements = oncePerStore(({ db }) => ({
  find: db
    .select({ id: texts.id })
    .from(texts)
    .where(eq(texts.hash, sql.placeholder("hash")))
    .prepare(),
  get: db
    .select({ hash: texts.hash, text: texts.text })
    .from(texts)
    .where(eq(texts.id, sql.placeholder("id")))
    .prepare(),
  insert: db.insert(texts).values(placeholders("hash", "text")).returning({ id: texts.id }).prepare(),
}));

/** The id of a text. Stores the text if it is new. */
export function keepText(store: Store, hash: string, text: string): number {
  const { find, insert } = statements(store);
  return (find.get({ hash }) ?? insert.get({ hash, text })).id;
}

export function getText(store: Store, id: number): string {
  return getHashedText(store, id).text;
}

/** A text with its hash, as {@link keepText} took both. */
export function getHashedText(store: Store, id: number): { hash: string; text: string } {
  const row = statements(store).get.get({ id });
  if (!row) throw new Error(`the text ${id} is not in ${store.path}`);
  return row;
}
