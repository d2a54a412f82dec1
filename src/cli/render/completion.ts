import type { Usage } from "../usage.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The values that are completed, by the flag or the argument that has them: `--provider`, `RUN`. */
export type Choices = Readonly<Record<string, readonly string[]>>;

/** A word, and what it means. */
type Row = [word: string, meaning: string];

/** A script that makes a shell complete the words of `datagen`. Where it knows none, it completes names of files. */
export function renderCompletion(shell: Shell, usages: readonly Usage[], choices: Choices): string {
  return { bash, zsh, fish }[shell](usages, choices);
}

function bash(usages: readonly Usage[], choices: Choices): string {
  const groups = groupsOf(usages).map(({ at, rows }) => `      "${at} ") candidates="${wordsOf(rows)}" ;;`);
  const commands = usages.map(
    (usage) =>
      `      ${patternOf(usage)}) candidates="${argumentChoices(usage, choices).join(" ")}" flags="${wordsOf(flagRows(usage))}" ;;`,
  );
  return `# Completes datagen in bash.
_datagen() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" first="" second="" candidates="" flags=""
  # Bash splits --flag=value at the sign.
  if [ "$word" = "=" ]; then word=""; elif [ "$before" = "=" ]; then before="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  [ "$COMP_CWORD" -gt 1 ] && first="\${COMP_WORDS[1]}"
  [ "$COMP_CWORD" -gt 2 ] && second="\${COMP_WORDS[2]}"
  case "$before" in
${flagsWith(usages, choices)
  .map(([flag, values]) => `    ${flag}) candidates="${values.join(" ")}" ;;`)
  .join("\n")}
    ${flagsWithout(usages, choices).join("|")}) ;;
    *) case "$first \${second:+$second }" in
${[...groups, ...commands].join("\n")}
    esac ;;
  esac
  [ "\${word:0:1}" = "-" ] && candidates="$candidates $flags"
  COMPREPLY=($(compgen -W "$candidates" -- "$word"))
}
complete -o default -F _datagen datagen
`;
}

function zsh(usages: readonly Usage[], choices: Choices): string {
  const listed = (rows: readonly Row[]) =>
    rows.map((row) => quoted(row.map((part) => part.replaceAll(":", "\\:")).join(":"), "'\\''")).join(" ");
  const groups = groupsOf(usages).map(({ at, rows }) => `    "${at} ") commands=(${listed(rows)}) ;;`);
  const commands = usages.map(
    (usage) =>
      `    ${patternOf(usage)}) values=(${argumentChoices(usage, choices).join(" ")}) flags=(${listed(flagRows(usage))}) ;;`,
  );
  return `#compdef datagen
# Completes datagen in zsh.
_datagen() {
  local before="$words[CURRENT-1]" first="" second=""
  local -a commands values flags
  (( CURRENT > 2 )) && first="$words[2]"
  (( CURRENT > 3 )) && second="$words[3]"
  case "$before" in
${flagsWith(usages, choices)
  .map(([flag, values]) => `    ${flag}) compadd -- ${values.join(" ")}; return ;;`)
  .join("\n")}
    ${flagsWithout(usages, choices).join("|")}) _files; return ;;
  esac
  case "$first \${second:+$second }" in
${[...groups, ...commands].join("\n")}
  esac
  if (( $#commands )); then _describe command commands
  elif [[ "$PREFIX" == -* ]]; then _describe option flags
  elif (( $#values )); then compadd -a values
  else _files
  fi
}
compdef _datagen datagen
`;
}

function fish(usages: readonly Usage[], choices: Choices): string {
  const say = (text: string) => quoted(text, "\\'");
  const words = groupsOf(usages).flatMap(({ at, rows }) =>
    rows.map(
      ([word, meaning]) => `complete -c datagen -n ${say(`__datagen_ends ${at}`)} -f -a ${word} -d ${say(meaning)}`,
    ),
  );
  const values = usages.flatMap((usage) =>
    argumentChoices(usage, choices).map(
      (value) => `complete -c datagen -n ${say(`__datagen_begins ${usage.name}`)} -f -a ${value}`,
    ),
  );
  const flags = usages.flatMap(({ name, flags: all }) =>
    all.map(({ names, value, description }) => {
      const spelt = names.map((each) => (each.startsWith("--") ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`));
      const chosen = names.flatMap((each) => choices[each] ?? []);
      const takes = chosen.length > 0 ? ` -x -a ${say(chosen.join(" "))}` : value === null ? "" : " -r";
      return `complete -c datagen -n ${say(`__datagen_begins ${name}`)} ${spelt.join(" ")}${takes} -d ${say(description)}`;
    }),
  );
  return `# Completes datagen in fish.
function __datagen_begins
    set -l typed (commandline -opc)
    string match -q -- "$argv *" "$typed[2..] "
end
function __datagen_ends
    set -l typed (commandline -opc)
    test "$typed[2..]" = "$argv"
end
${[...words, ...values, ...flags].join("\n")}
`;
}

/** The words that may follow others: nothing, a group such as `runs`, or `help`. */
function groupsOf(usages: readonly Usage[]): { at: string; rows: Row[] }[] {
  const firsts = new Map<string, Row[]>();
  for (const { name, description } of usages) {
    const [first = "", second] = name.split(" ");
    const rows = firsts.get(first) ?? [];
    firsts.set(first, second === undefined ? rows : [...rows, [second, description]]);
  }
  const words = [...firsts].map(([first, rows]): Row => {
    const meaning = usages.find(({ name }) => name === first)?.description;
    return [first, meaning ?? `The commands for ${first}: ${rows.map(([word]) => word).join(", ")}`];
  });
  const groups = [...firsts].filter(([, rows]) => rows.length > 0).map(([at, rows]) => ({ at, rows }));
  return [
    { at: "", rows: [...words, ["help", "Explain a command"], ["--version", "Print the version"]] },
    { at: "help", rows: words },
    ...groups.flatMap(({ at, rows }) => [
      { at, rows },
      { at: `help ${at}`, rows },
    ]),
  ];
}

function wordsOf(rows: readonly Row[]): string {
  return rows.map(([word]) => word).join(" ");
}

function flagRows({ flags }: Usage): Row[] {
  const rows = flags.map(({ names, description }): Row => [names[0] ?? "", description]);
  return [...rows, ["--help", "Explain the command"]];
}

function argumentChoices(usage: Usage, choices: Choices): readonly string[] {
  return usage.arguments
    .flatMap((argument) => choices[argument] ?? [])
    .filter((value, at, all) => all.indexOf(value) === at);
}

/** The flags with one of a few values. */
function flagsWith(usages: readonly Usage[], choices: Choices): [flag: string, values: readonly string[]][] {
  return Object.entries(choices).filter(([name]) =>
    usages.some(({ flags }) => flags.some(({ names }) => names.includes(name))),
  );
}

/** The flags with any other value. */
function flagsWithout(usages: readonly Usage[], choices: Choices): string[] {
  const names = usages.flatMap(({ flags }) =>
    flags.filter(({ value }) => value !== null).flatMap((flag) => flag.names),
  );
  return [...new Set(names)].filter((name) => !(name in choices));
}

/** A shell's pattern for the first words of a command line, each with a blank after it, that belong to a command. */
function patternOf({ name }: Usage): string {
  return name.includes(" ") ? `"${name} "` : `"${name} "*`;
}

function quoted(text: string, quote: string): string {
  return `'${text.replaceAll("'", quote)}'`;
}
