/**
 * A client's capabilities negotiation, answered here with the error texts of the connected QEMU: our own handshake asks for them
 * (upstream/handshake-probes.ts), since they differ between versions.
 */
import { walkOrder } from '../../qmp/json/dictionary.js';
import type { Parser } from '../../qmp/json/parser.js';
import { Token, type TokenList } from '../../qmp/json/tokens.js';
import { encode } from '../../qmp/json/unicode.js';
import { genericError, type QmpFault } from '../../qmp/message.js';
import { BLANK, type CapabilityErrorTexts } from '../ports/capability-errors.js';

/** @returns the token after the value that begins at `at`, in tokens the parser has accepted. */
function skipValue(tokens: TokenList, at: number): number {
  let depth = 0;
  let token = at;
  do {
    const kind = tokens.kind(token++);
    if (kind === Token.LeftBrace || kind === Token.LeftBracket) depth++;
    else if (kind === Token.RightBrace || kind === Token.RightBracket) depth--;
  } while (depth > 0);
  return token;
}

function isString(kind: number): boolean {
  return kind === Token.PlainString || kind === Token.RichString;
}

/**
 * QEMU's input visitor keeps the members in a GHashTable and reports the first of those that should not be there, in the
 * table's order: eight slots, quadratic probing, filled in the order of the QDict. (From eight members on the table would
 * be larger. Nobody sends those.)
 * @param keys all members' names as written
 * @param known the name that is no fault
 * @returns the name that is reported, or null when there is only the known one
 */
function firstUnexpected(keys: readonly string[], known: string): string | null {
  const slots: (string | undefined)[] = [];
  for (const index of walkOrder(keys).slice(0, TABLE_SLOTS)) {
    const key = keys[index] ?? '';
    let slot = tableSlot(key);
    for (let step = 1; slots[slot] !== undefined; step++) slot = (slot + step) % TABLE_SLOTS;
    slots[slot] = key;
  }
  return slots.find((key) => key !== undefined && key !== known) ?? null;
}

const TABLE_SLOTS = 8;

/** @returns where GLib looks first: djb2 over the bytes of the modified UTF-8, signed. */
function tableSlot(key: string): number {
  const bytes: number[] = [];
  encode(key, bytes);
  let hash = 5381;
  for (const byte of bytes) hash = (Math.imul(hash, 33) + ((byte << 24) >> 24)) >>> 0;
  return (Math.imul(hash, 11) >>> 0) % 7;
}

/**
 * Judges the arguments of `qmp_capabilities` as QEMU's visitors do: `enable` first, then unexpected members.
 * @param at the first token of the arguments' value, an object; -1 for no arguments
 * @returns whether `oob` is to be enabled, or QEMU's error
 */
export function judgeCapabilities(
  parser: Parser,
  tokens: TokenList,
  at: number,
  offersOob: boolean,
  words: CapabilityErrorTexts,
): { readonly oob: boolean } | QmpFault {
  if (at < 0) return { oob: false };
  let enable = -1;
  const keys: string[] = [];
  for (let token = at + 1; tokens.kind(token) !== Token.RightBrace; ) {
    if (tokens.kind(token) === Token.Comma) token++;
    const key = parser.text(token);
    if (key === 'enable') enable = token + 2;
    keys.push(key);
    token = skipValue(tokens, token + 2);
  }
  let oob = false;
  if (enable >= 0) {
    if (tokens.kind(enable) !== Token.LeftBracket) return genericError(words.enableNotList);
    let index = 0;
    for (let token = enable + 1; tokens.kind(token) !== Token.RightBracket; index++) {
      if (tokens.kind(token) === Token.Comma) token++;
      if (!isString(tokens.kind(token))) return genericError(words.itemNotString.replace(BLANK, String(index)));
      const name = parser.text(token);
      if (name !== 'oob') return genericError(words.unknownCapability.replace(BLANK, () => name));
      oob = true;
      token++;
    }
  }
  const unexpected = firstUnexpected(keys, 'enable');
  if (unexpected !== null) return genericError(words.unexpectedArgument.replace(BLANK, () => unexpected));
  return oob && !offersOob ? genericError(words.oobNotAvailable) : { oob };
}
