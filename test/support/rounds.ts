const isLong = process.env["DATAGEN_TEST_LONG"] === "1";

/** How many rounds a test plays. `npm test` plays some, and `npm run test:long` all. */
export function rounds(some: number, all: number): number {
  return isLong ? all : some;
}

/** The cases of a long table that a test plays: `npm test` plays every third one, and `npm run test:long` all. */
export function someOf<Case>(cases: readonly Case[]): Case[] {
  return cases.filter((_, at) => isLong || at % 3 === 0);
}
