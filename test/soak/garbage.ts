/** Bytes that no well-meaning peer sends. */
import type { Random } from '../conformance/generator.js';

const PIECES = [
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  ':',
  ',',
  '\\',
  '\xff',
  '\x00',
  '1e9',
  'true',
  ' ',
  '{"execute":',
  '"qmp_capabilities"',
  '"query-status"',
  '"id":',
  '\\u0000',
  '\n',
] as const;

/** @returns bytes that look a little like QMP. */
export function garbageOf(random: Random, length: number): string {
  let text = '';
  while (text.length < length) {
    text += random.once(5) ? String.fromCharCode(random.below(256)) : (PIECES[random.below(PIECES.length)] ?? '');
  }
  return text;
}
