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
  // Imports of earlier versions lack these three.
  /** The first perspective as it stands in the file, where that is the references. */
  reference?: Record<string, unknown>;
  /** Members of the dataset that datagen does not know; they are exported again. */
  members?: Record<string, unknown>;
  /** What the file has as metadata: the parts that datagen does not write itself are exported again. */
  metadata?: Record<string, unknown>;
}
