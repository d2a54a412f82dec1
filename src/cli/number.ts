import { makeValidator, type StrictValidator } from "typanion";

/** A number as people write it: `5`, `5.00`, `.5`, `-1`, `1e3`. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A flag whose value is a number. Its range is checked later, together with the other flags. */
export function isNumber(): StrictValidator<unknown, number> {
  return validator("a number", Number.isFinite);
}

/** A flag whose value is a whole number of at least 1. */
export function isCount(): StrictValidator<unknown, number> {
  return validator("a whole number of at least 1", (value) => Number.isSafeInteger(value) && value >= 1);
}

/** A flag whose value is a port; 0 is any free one. */
export function isPort(): StrictValidator<unknown, number> {
  return validator("a port from 0 to 65535", (value) => Number.isInteger(value) && value >= 0 && value <= 65_535);
}

function validator(expected: string, fits: (value: number) => boolean): StrictValidator<unknown, number> {
  return makeValidator<unknown, number>({
    test: (text, state): text is number => {
      const value = typeof text === "string" && NUMBER.test(text) ? Number(text) : Number.NaN;
      if (!fits(value)) {
        state?.errors?.push(`.: expected ${expected}, found ${JSON.stringify(text)}`);
        return false;
      }
      // A typanion validator returns the value that it has read by this callback.
      if (state?.coercion) state.coercions?.push([".", state.coercion.bind(null, value)]);
      return true;
    },
  });
}
