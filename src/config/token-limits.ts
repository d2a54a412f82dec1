/** The names that servers use in a request's body for the limit of completion tokens. */
export const TOKEN_LIMITS = [
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "max_new_tokens",
  "max_gen_len",
  "n_predict",
  "num_predict",
];

/** More than any model writes. The highest cost of a request can be computed up to this limit. */
export const MOST_TOKENS = 1_000_000_000;
