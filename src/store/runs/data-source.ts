/** A published dataset that files of a run were pulled from. */
export interface DataSource {
  /** As `datagen data pull` takes it, such as `hf://OWNER/NAME`. */
  dataset: string;
  /** The commit of its repository. */
  commit: string;
  license: string | null;
}
