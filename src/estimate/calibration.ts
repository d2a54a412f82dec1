/** The counted tokens of an earlier prompt, and the number that the provider reported. */
export interface CountedPrompt {
  /** The count of the instruction, which is around the text. */
  frame: number;
  /** The count of the text. */
  text: number;
  reported: number;
}

/**
 * How many tokens of the model make one token of another tokenizer. Instructions and texts have separate factors, because
 * they may be in different languages.
 */
export interface Calibration {
  frame: number;
  text: number;
}

export const UNCALIBRATED: Calibration = { frame: 1, text: 1 };

/** With fewer prompts, both get the same factor. */
const LEAST_PROMPTS = 8;

/** How far a factor may be from the ratio of all tokens. If it is further, the prompts cannot separate the two. */
const MOST_APART = 2;

/** Least squares of `reported = a · frame + b · text`. Null without prompts. */
export function calibrate(prompts: readonly CountedPrompt[]): Calibration | null {
  const ratio = total(prompts, ({ reported }) => reported) / total(prompts, ({ frame, text }) => frame + text);
  if (!Number.isFinite(ratio) || ratio <= 0) return null;
  const factors = prompts.length < LEAST_PROMPTS ? null : twoFactors(prompts);
  const isPlausible = (factor: number) => factor > ratio / MOST_APART && factor < ratio * MOST_APART;
  return factors?.every(isPlausible) ? { frame: factors[0], text: factors[1] } : { frame: ratio, text: ratio };
}

/** Solves the normal equations of two regressors without an intercept; null if the regressors are nearly collinear. */
function twoFactors(prompts: readonly CountedPrompt[]): [number, number] | null {
  const frames = total(prompts, ({ frame }) => frame * frame);
  const texts = total(prompts, ({ text }) => text * text);
  const both = total(prompts, ({ frame, text }) => frame * text);
  const framesReported = total(prompts, ({ frame, reported }) => frame * reported);
  const textsReported = total(prompts, ({ text, reported }) => text * reported);
  const determinant = frames * texts - both * both;
  if (determinant <= frames * texts * 1e-3) return null;
  return [
    (framesReported * texts - textsReported * both) / determinant,
    (textsReported * frames - framesReported * both) / determinant,
  ];
}

function total(prompts: readonly CountedPrompt[], value: (prompt: CountedPrompt) => number): number {
  return prompts.reduce((sum, prompt) => sum + value(prompt), 0);
}
