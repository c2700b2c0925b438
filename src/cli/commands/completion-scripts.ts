/** Completion for shells, made of the same table as the help: names of subcommands, their options, and values that are known. */
import type { CommandTree } from '../framework/command-tree.js';
import { type OptionText, optionsOf } from '../framework/subcommand.js';

export const SHELLS = ['bash', 'zsh'] as const;
export type Shell = (typeof SHELLS)[number];

export function completionScript(shell: Shell, tree: CommandTree): string {
  return shell === 'bash' ? bashScript(tree) : zshScript(tree);
}

interface Choice {
  readonly word: string;
  readonly what: string;
}

/** The words possible after `prefix`, which is empty or a group's name. */
function choices({ leaves, groups }: CommandTree, prefix: string): Choice[] {
  const depth = prefix === '' ? 1 : 2;
  return [...leaves, ...(depth === 1 ? groups : [])]
    .filter(({ name }) => name.split(' ').length === depth && (depth === 1 || name.startsWith(`${prefix} `)))
    .map(({ name, summary }) => ({ word: name.split(' ').at(-1) ?? '', what: summary }));
}

/** Words that take one further: all names, of groups and of subcommands. */
function names({ leaves, groups }: CommandTree): string[] {
  return [...groups, ...leaves].map(({ name }) => name);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function bashScript(tree: CommandTree): string {
  const cases = [{ name: '' }, ...tree.groups].map(({ name }) => {
    const words = choices(tree, name).map(({ word }) => word);
    return `    ${quoted(name)}) words=${quoted([...words, ...(name === '' ? ['help'] : [])].join(' '))}; options='--help --version' ;;`;
  });
  const values: string[] = [];
  for (const { name, command } of tree.leaves) {
    const options = optionsOf(command);
    const spellings = options.flatMap((option) => option.spellings);
    cases.push(`    ${quoted(name)}) options=${quoted(spellings.join(' '))} ;;`);
    for (const option of options) {
      if (option.value === null) continue;
      const patterns = option.spellings.map((spelling) => quoted(`${name} ${spelling}`)).join('|');
      const known =
        option.values.length === 0
          ? ''
          : `COMPREPLY=($(compgen -P "$before" -W ${quoted(option.values.join(' '))} -- "$cur")); `;
      values.push(`    ${patterns}) ${known}return ;;`);
    }
  }
  return `# Completion of qmpmux for bash: source <(qmpmux completion bash)
_qmpmux() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} at='' words='' options='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${at:+$at }\${COMP_WORDS[i]}" in
    ${names(tree).map(quoted).join('|')}) at="\${at:+$at }\${COMP_WORDS[i]}" ;;
    esac
  done
  # --option=value is one word, or three where bash splits words at an =.
  local before=''
  if [[ $cur == --*=* ]]; then before="\${cur%%=*}="; prev=\${cur%%=*}; cur=\${cur#*=}
  elif [[ $cur == '=' && $prev == --* ]]; then cur=''
  elif [[ $prev == '=' && COMP_CWORD -gt 2 ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  # Where nothing is offered, bash completes file names.
  case "$at $prev" in
${values.join('\n')}
  esac
  [[ -n $before ]] && return
  case "$at" in
${cases.join('\n')}
  esac
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -o bashdefault -o default -F _qmpmux qmpmux
`;
}

/** An option's description, short enough for a list. */
function inShort(text: string): string {
  const short = text.split(/[;:(]/)[0]?.trim() ?? '';
  return short.length > 70 ? `${short.slice(0, 69)}…` : short;
}

function zshOption(option: OptionText): string[] {
  const what = inShort(option.what).replace(/[[\]\\:]/g, '\\$&');
  const action = option.values.length === 0 ? '_files' : `(${option.values.join(' ')})`;
  return option.spellings.map((spelling) =>
    quoted(`*${spelling}[${what}]${option.value === null ? '' : `:${option.value}:${action}`}`),
  );
}

function zshScript(tree: CommandTree): string {
  const cases = [{ name: '' }, ...tree.groups].map(({ name }) => {
    const words = choices(tree, name).map(({ word, what }) => quoted(`${word}:${what.replace(/[\\:]/g, '\\$&')}`));
    return `  ${quoted(name)}) items=(${words.join(' ')}); _describe command items ;;`;
  });
  for (const { name, command } of tree.leaves) {
    const specs = optionsOf(command).flatMap(zshOption);
    cases.push(`  ${quoted(name)}) _arguments -S ${specs.join(' ')} '*:file:_files' ;;`);
  }
  return `#compdef qmpmux
# Completion of qmpmux for zsh: source <(qmpmux completion zsh), or as _qmpmux in a folder of fpath.
_qmpmux() {
  local at=''
  local -a items
  local -i i=2 last=1
  while ((i < CURRENT)); do
    case "\${at:+$at }$words[i]" in
    (${names(tree)
      .map((name) => quoted(name))
      .join('|')}) at="\${at:+$at }$words[i]"; last=i ;;
    esac
    ((i++))
  done
  shift $((last - 1)) words
  ((CURRENT -= last - 1))
  case $at in
${cases.join('\n').replaceAll(/^ {2}'/gm, "  ('")}
  esac
}
if [[ $funcstack[1] == _qmpmux ]]; then _qmpmux "$@"; else compdef _qmpmux qmpmux; fi
`;
}
