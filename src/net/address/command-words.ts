/**
 * A command line as words, by the quoting rules of the POSIX shell (blanks, '…', "…", \), without a shell.
 *
 * What only a shell can do (pipes, variables, substitution, `~`) is refused rather than passed on as plain text, so a command
 * never means something else here than it would at a prompt; to use a shell, write `sh -c '…'`. Globs stay plain text,
 * as they do in a shell when nothing matches.
 */

type CommandWords =
  | { readonly ok: true; readonly words: readonly [string, ...string[]] }
  | {
      readonly ok: false;
      /** Offset of the fault in the text, from 0. */
      readonly at: number;
      readonly problem: string;
    };

const NEEDS_SHELL = '|&;<>()$`\n';
const ESCAPED_IN_DOUBLE_QUOTES = '$`"\\\n';
const useShell = "it needs a shell: write exec:sh -c '…', or quote it";

function fault(at: number, problem: string): CommandWords {
  return { ok: false, at, problem };
}

/** Splits `text` into words. Never throws. */
export function splitCommand(text: string): CommandWords {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  // Where an unquoted name=value may still be an assignment: only before the first quote of the first word.
  let plainSoFar = true;

  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\0') return fault(i, 'a NUL character cannot be part of a command');
    if (char === ' ' || char === '\t') {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
      plainSoFar = true;
      continue;
    }
    if (NEEDS_SHELL.includes(char)) return fault(i, `unquoted ${JSON.stringify(char)}: ${useShell}`);
    if (!inWord && (char === '~' || char === '#')) return fault(i, `unquoted ${JSON.stringify(char)}: ${useShell}`);
    if (char === '=' && plainSoFar && words.length === 0 && /^[A-Za-z_]\w*$/.test(word)) {
      return fault(i - word.length, `${JSON.stringify(`${word}=`)} sets a variable: write exec:env ${word}=…`);
    }
    if (char === "'") {
      const close = text.indexOf("'", i + 1);
      if (close < 0) return fault(i, "a quote ' is not closed");
      const inside = text.slice(i + 1, close);
      if (inside.includes('\0')) return fault(i, 'a NUL character cannot be part of a command');
      word += inside;
      i = close;
      plainSoFar = false;
    } else if (char === '"') {
      const start = i;
      for (i++; i < text.length && text.charAt(i) !== '"'; i++) {
        let inside = text.charAt(i);
        if (inside === '\0') return fault(i, 'a NUL character cannot be part of a command');
        if (inside === '$' || inside === '`')
          return fault(i, `${JSON.stringify(inside)} in double quotes: ${useShell}`);
        if (inside === '\\' && ESCAPED_IN_DOUBLE_QUOTES.includes(text.charAt(i + 1)) && i + 1 < text.length) {
          inside = text.charAt(++i);
          if (inside === '\n') continue;
        }
        word += inside;
      }
      if (i >= text.length) return fault(start, 'a quote " is not closed');
      plainSoFar = false;
    } else if (char === '\\') {
      if (i + 1 >= text.length) return fault(i, 'a backslash with nothing after it');
      i++;
      if (text.charAt(i) === '\0') return fault(i, 'a NUL character cannot be part of a command');
      if (text.charAt(i) === '\n') continue;
      word += text.charAt(i);
      plainSoFar = false;
    } else {
      word += char;
    }
    inWord = true;
  }
  if (inWord) words.push(word);
  const [program, ...rest] = words;
  if (program === undefined) return fault(0, 'the command is missing');
  if (program === '') return fault(0, 'the name of the program is empty');
  return { ok: true, words: [program, ...rest] };
}

/** The words as one line that `splitCommand` reads back. */
export function joinCommand(words: readonly string[]): string {
  return words
    .map((word, i) => {
      const plain = /^[\w@%+:,./=-]+$/.test(word) && !(i === 0 && word.includes('='));
      return plain ? word : `'${word.replaceAll("'", `'\\''`)}'`;
    })
    .join(' ');
}
