/** The counted tokens of an earlier prompt, and all of them as the provider reported them. */
export interface CountedPrompt {
  /** Counted of what stands around the text: the instruction. */
  frame: number;
  /** Counted of the text. */
  text: number;
  reported: number;
}

/**
 * What a token that another tokenizer has counted is worth in tokens of the model. Instructions and texts have factors
 * of their own, as they may be in different languages.
 */
export interface Calibration {
  frame: number;
  text: number;
}

export const UNCALIBRATED: Calibration = { frame: 1, text: 1 };

/** With fewer prompts, one factor serves for both. */
const LEAST_PROMPTS = 8;

/** How far a factor may be from the ratio of all tokens. Beyond that the prompts do not tell the two apart. */
const MOST_APART = 2;

/** Least squares of `reported = a · frame + b · text`. Null where there are no prompts. */
export function calibrate(prompts: readonly CountedPrompt[]): Calibration | null {
  const ratio = total(prompts, ({ reported }) => reported) / total(prompts, ({ frame, text }) => frame + text);
  if (!Number.isFinite(ratio) || ratio <= 0) return null;
  const factors = prompts.length < LEAST_PROMPTS ? null : twoFactors(prompts);
  const isPlausible = (factor: number) => factor > ratio / MOST_APART && factor < ratio * MOST_APART;
  return factors?.every(isPlausible) ? { frame: factors[0], text: factors[1] } : { frame: ratio, text: ratio };
}

/** The normal equations of two regressors without an intercept; null where they are as good as one. */
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
