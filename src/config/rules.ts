import { z } from "zod";

// The message of every rule says what was expected; problems.ts adds the place and the value found.
export const text = (expected: string) => z.string(expected).min(1, expected);
export const between = (min: number, max: number, expected = `a number from ${min} to ${max}`) =>
  z.number(expected).min(min, expected).max(max, expected);
export const wholeFrom = (min: number, expected = `a whole number of at least ${min}`) =>
  z.number(expected).int(expected).min(min, expected).max(Number.MAX_SAFE_INTEGER, expected);
