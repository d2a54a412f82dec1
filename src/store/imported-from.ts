/** Where an imported run came from. */
export interface ImportedFrom {
  /** The dataset's path, as it was given. */
  file: string;
  /** Of the dataset's bytes, in hex. */
  sha256: string;
  /** The usage of the whole as the file reports it, which is part of the run's totals and of no attempt. */
  tokens: { prompt: number; completion: number; cached: number; reasoning: number };
  /** The requests that the file reports. */
  api_calls: number;
}
