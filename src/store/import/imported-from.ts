/** The dataset that a run was imported from. */
export interface ImportedFrom {
  /** The dataset's path, as the user gave it. */
  file: string;
  /** Of the dataset's bytes, in hex. */
  sha256: string;
  /** The usage that the file reports. It is part of the run's totals, but not of any attempt. */
  tokens: { prompt: number; completion: number; cached: number; reasoning: number };
  /** The requests that the file reports. */
  api_calls: number;
  // Imports by earlier versions lack these three.
  /** The first perspective of the file, if it is the one of the references. */
  reference?: Record<string, unknown>;
  /** Members of the dataset that datagen does not know. They are exported again. */
  members?: Record<string, unknown>;
  /** The metadata of the file. Members that datagen does not write itself are exported again. */
  metadata?: Record<string, unknown>;
}
