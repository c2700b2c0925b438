/**
 * The word someone probably meant. Used wherever an unknown word is refused: addresses, config keys, flags, subcommands.
 */

/** Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/**
 * @returns the one of `known` that is nearest to `word`, or null when none is near enough to be worth offering.
 */
export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > 64) return null;
  const wanted = word.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  const names = [...known];
  for (const candidate of names) {
    const name = candidate.toLowerCase();
    const isBeginning = wanted.length >= 2 && name.startsWith(wanted);
    // A word that continues the typed beginning is likelier than one with another letter.
    const edits = isBeginning ? 0.5 : distance(wanted, name);
    // Of several that begin with it, the one that is nearly there.
    const isNearer = isBeginning && edits === bestDistance && candidate.length < (best?.length ?? 0);
    if (edits < bestDistance || isNearer) {
      best = candidate;
      bestDistance = edits;
    }
  }
  if (best === null) for (const name of names) if (isOtherForm(wanted, name.toLowerCase())) return name;
  return best;
}

/** `complete` for `completion`: all but the last letter, and a short ending. */
function isOtherForm(wanted: string, name: string): boolean {
  return wanted.length >= 8 && name.length <= wanted.length + 2 && name.startsWith(wanted.slice(0, -1));
}

/** Of more than this many words that begin with what was typed, no single one is likelier than the others. */
const MOST_LIKELY_WORDS = 3;
const MOST_MISSING_LETTERS = 2;

/** `; did you mean "unix"?`, or the few words that it lacks a letter or two of, or nothing: the end of a message about an unknown word. */
export function suggestion(word: string, known: Iterable<string>): string {
  const words = [...known];
  const near = nearest(word, words);
  if (near === null) return '';
  const wanted = word.toLowerCase();
  const beginnings = words.filter((name) => name.toLowerCase().startsWith(wanted));
  const nearly = beginnings.filter((name) => name.length <= word.length + MOST_MISSING_LETTERS);
  if (nearly.length > 1 && nearly.length <= MOST_LIKELY_WORDS) {
    const [last = '', ...others] = nearly
      .sort()
      .map((name) => JSON.stringify(name))
      .toReversed();
    return `; did you mean ${others.toReversed().join(', ')} or ${last}?`;
  }
  return beginnings.length <= MOST_LIKELY_WORDS || near.length <= word.length + MOST_MISSING_LETTERS
    ? `; did you mean ${JSON.stringify(near)}?`
    : `; ${beginnings.length} begin with it: ${beginnings.sort().slice(0, MOST_LIKELY_WORDS).join(', ')}, …`;
}
