/** A published dataset that files of a run were pulled from. */
export interface DataSource {
  /** As `datagen data pull` takes it, such as `hf://OWNER/NAME`. */
  dataset: string;
  /** The branch or tag that was pulled. */
  revision: string;
  /** Its commit. */
  commit: string;
  config: string;
  split: string;
  license: string | null;
}
