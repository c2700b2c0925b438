/** Texts of others, made fit for a screen. */

/** What a message may be long to be shown whole, and what is shown of a longer one. */
const LONG_MESSAGE = 2000;
const BEGINNING = 200;
const BLANK = 0x20;
const AT = 0x40;

/** A message on the wire, for people. */
export function wireText(direction: 'sent' | 'received', bytes: Buffer): string {
  const arrow = direction === 'sent' ? '->' : '<-';
  if (bytes.length <= LONG_MESSAGE) return `${arrow} ${harmless(bytes.toString())}`;
  return `${arrow} ${harmless(bytes.toString('utf8', 0, BEGINNING))}… (${bytes.length} bytes)`;
}

/** @returns the text with its control characters, but tabs and line feeds, made visible: what a guest has named must not steer the terminal. */
export function harmless(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    const code = character.charCodeAt(0);
    return code < BLANK ? `^${String.fromCharCode(code + AT)}` : `\\x${code.toString(16)}`;
  });
}
