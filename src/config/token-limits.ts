/** The members of a request's body that limit its completion tokens, by the names that servers know. */
export const TOKEN_LIMITS = [
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "max_new_tokens",
  "max_gen_len",
  "n_predict",
  "num_predict",
];

/** No model writes so many; what a request may cost can be counted up to here. */
export const MOST_TOKENS = 1_000_000_000;
