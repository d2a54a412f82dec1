/** How help names the value of a flag. Another word for one command stands under the command's words and the flag. */
const VALUE_NAMES: Readonly<Record<string, string>> = {
  "--base-url": "URL",
  "--batch-factor": "FACTOR",
  "--by": "GROUP",
  "--cache-write": "USD",
  "--cached-input": "USD",
  "--concurrency": "N",
  "--condition": "NAME",
  "--conditions": "NAME",
  "--config": "NAME",
  "--confirm-above": "USD",
  "--db": "PATH",
  "--export": "PATH",
  "--fields": "FIELD=COLUMN",
  "--format": "FORMAT",
  "--input": "N|TEXT",
  "--inputs": "N",
  "--max-cost": "USD",
  "--max-tokens": "N",
  "--model": "MODEL",
  "--name": "NAME",
  "--output": "PATH",
  "--pilot": "N",
  "--port": "N",
  "--provider": "PROVIDER",
  "--public-origin": "URL",
  "--queue": "URL",
  "--replicate": "K",
  "--sample-size": "N",
  "--server": "NAME",
  "--shard": "I/N",
  "--show": "N",
  "--split": "NAME",
  "--task-type": "TYPE",
  "data pull --output": "FOLDER",
  "prices set --input": "USD",
  "prices set --output": "USD",
};

/** What an argument is, for a message that says that it is missing. */
const ARGUMENTS: Readonly<Record<string, string>> = {
  CONFIG: "the path of a config file",
  DATASET: "a dataset of the Hugging Face Hub, such as hf://openai/gsm8k",
  FILE: "the path of a file",
  MODEL: "the name of a model",
  OTHER: "the path of another database",
  PATH: "the path of a file",
  RUN: "the id of a run, or `latest`",
  SHELL: "bash, zsh or fish",
};

export function valueName(command: string, flag: string): string {
  return VALUE_NAMES[`${command} ${flag}`] ?? VALUE_NAMES[flag] ?? "VALUE";
}

/** What an argument is, in a few words; undefined if only its name says it. */
export function meaningOf(argument: string): string | undefined {
  return ARGUMENTS[argument];
}
