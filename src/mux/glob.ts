/**
 * Globs over command and event names and argument values: `*` is any run of characters, `?` any one, everything else itself.
 * No backtracking beyond the last `*`, so that no pattern and no input takes more than their lengths' product.
 */

/** @returns whether the whole of `text` matches `glob`. */
export function matchesGlob(glob: string, text: string): boolean {
  let at = 0;
  let inGlob = 0;
  let star = -1;
  let starText = 0;
  while (at < text.length) {
    const wanted = glob[inGlob];
    if (wanted === '*') {
      star = inGlob++;
      starText = at;
    } else if (wanted === '?' || (wanted !== undefined && wanted === text[at])) {
      inGlob++;
      at++;
    } else if (star >= 0) {
      // The last star takes one character more.
      inGlob = star + 1;
      at = ++starText;
    } else return false;
  }
  while (glob[inGlob] === '*') inGlob++;
  return inGlob === glob.length;
}
