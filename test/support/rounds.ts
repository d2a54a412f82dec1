const isLong = process.env["DATAGEN_TEST_LONG"] === "1";

/** How many rounds a test plays. `npm test` plays some, and `npm run test:long` all. */
export function rounds(some: number, all: number): number {
  return isLong ? all : some;
}
