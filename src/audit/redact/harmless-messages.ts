/**
 * Messages that can be seen to hold no secret without walking through them, which is nearly all of them: no name in them is near to one
 * that matters, and no text can have a secret inside; or the same bytes were walked through before, but for the id.
 *
 * What must hold: a message is called harmless only where the walk would find nothing in it. Where that takes more than a look, the walk
 * decides. Work is linear in the message's length, and the memory has a bound.
 */

import { checkJson, Json } from '../log/strict-json.js';
import type { CompiledRules, RuleSet } from './redaction-rules.js';
import { type CommandClass, classOfCommand } from './redaction-table.js';
import { classOfName, NameClass } from './secret-names.js';

/** The beginnings of a secret within a text; and escapes that may hide one: all but the common ones of one letter. */
const TELLTALE = /:\/\/|json:|rbd:|"\s{0,8}[[{]|(?:https?|ftps?)[:/]|\\[^rntbf"\\]/i;
/** Besides, in a command: options in a text, and an id that is more than one word or a number. */
const OF_COMMAND = /=|"id"\s{0,8}:\s{0,8}(?!"[^"\\=: ]{0,80}"|\d)/;
/** As HMP lists properties. */
const PROPERTY = ' = ';
/** No character of a member's name may be another: characters beyond ASCII, or escaped, may be decoded to anything. */
const PLAIN_KEY = /^[\x20-\x5b\x5d-\x7e]*$/;
/** Longer names are judged in pieces, so by the walk. */
const LONGEST_KEY = 64;
const MOST_KEYS = 1024;
/** The end of most commands, after a part that is always the same: a plain id, and the closing brace. */
const PLAIN_ID = /^"id": ?(?:"[\w#.-]*"|\d{1,15})\}$/;
const LONGEST_ID = 80;
/** A longer command is walked through, for it is one of few; a longer answer too, as far as that is done. In bytes. */
const LONGEST_COMMAND = 64 * 1024;
const LONGEST_ANSWER = 4 * 1024 * 1024;
/** A longer message is not remembered. In bytes. */
const LONGEST_REMEMBERED = 512;
const MOST_REMEMBERED = 512;

const COLON = 0x3a;
const BACKSLASH = 0x5c;

export class HarmlessMessages {
  readonly #rules: RuleSet;
  /** Names of members that say nothing, whatever the command. */
  readonly #keys = new Set<string>();
  /** Names of commands, each with the text of one up to its id. */
  readonly #commands = new Set<string>();

  constructor(rules: RuleSet) {
    this.#rules = rules;
  }

  /** @param raw a command as QEMU's parser accepts it. @returns whether it is seen to hold no secret, and to ask for none */
  isCommand(name: string, raw: Uint8Array, rules: CompiledRules): boolean {
    if (this.#commands.size > 0 && raw.length <= LONGEST_REMEMBERED) {
      const key = keyOf(name, raw);
      if (key !== null && this.#commands.has(key)) return true;
    }
    if (!rules.isByNameOnly || raw.length > LONGEST_COMMAND) return false;
    return !isSpecial(classOfCommand(name)) && this.#isPlainCommand(raw, textOf(raw));
  }

  /** Remembers that the walk has found nothing in a command, nor anything to beware of in the answer. */
  remember(name: string, raw: Uint8Array): void {
    const key = raw.length <= LONGEST_REMEMBERED ? keyOf(name, raw) : null;
    if (key === null) return;
    if (this.#commands.size >= MOST_REMEMBERED) this.#commands.clear();
    this.#commands.add(key);
  }

  /** @param raw a message from QEMU. @returns whether it clearly holds no secret */
  isFromQemu(raw: Uint8Array, rules: CompiledRules): boolean {
    if (raw.length > LONGEST_ANSWER || (!rules.isByNameOnly && !rules.isListOnly)) return false;
    const text = textOf(raw);
    return (rules.isByNameOnly || !text.includes(PROPERTY)) && this.#isPlain(raw, text);
  }

  #isPlainCommand(raw: Uint8Array, text: string): boolean {
    return !OF_COMMAND.test(text) && this.#isPlain(raw, text);
  }

  /** @returns whether it is JSON of which no text has a secret inside, and no member a name that says anything */
  #isPlain(raw: Uint8Array, text: string): boolean {
    if (TELLTALE.test(text) || checkJson(raw, 0, raw.length) === Json.No) return false;
    for (let open = text.indexOf('"'); open >= 0; ) {
      const end = closingQuote(text, open + 1);
      if (isColonNext(text, end + 1) && !this.#isHarmlessKey(text, open + 1, end)) return false;
      open = text.indexOf('"', end + 1);
    }
    return true;
  }

  #isHarmlessKey(text: string, start: number, end: number): boolean {
    if (end - start > LONGEST_KEY) return false;
    const key = text.slice(start, end);
    if (this.#keys.has(key)) return true;
    // `data` says something in commands that make objects, which are for the walk.
    if (!PLAIN_KEY.test(key) || (classOfName(key) & ~NameClass.Data) !== 0 || this.#rules.mentions(key)) return false;
    if (this.#keys.size >= MOST_KEYS) this.#keys.clear();
    this.#keys.add(key);
    return true;
  }
}

/** @returns whether a command's name, or one near to it, says something of its arguments or its answer */
function isSpecial(found: CommandClass): boolean {
  return found.harmless !== null || found.makesObjects || found.readsProperty || found.setsProperty || found.runsLine;
}

/**
 * @returns the part shared by all commands like this one: all of it, or the part before its id; null where the id is not plain and last.
 */
function keyOf(name: string, raw: Uint8Array): string | null {
  const text = textOf(raw);
  const at = text.lastIndexOf('"id":');
  if (at < 0) return `${name} ${text}`;
  // The last brace closes the message, so the text before it is a member of the message, unless its name only ends like this.
  if (text.length - at > LONGEST_ID || text.charCodeAt(at - 1) === BACKSLASH) return null;
  return PLAIN_ID.test(text.slice(at)) ? `${name} ${text.slice(0, at)}` : null;
}

function textOf(raw: Uint8Array): string {
  return Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('latin1');
}

/** @returns where the string ends whose content begins at `from` */
function closingQuote(text: string, from: number): number {
  for (let quote = text.indexOf('"', from); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let before = quote;
    while (before > from && text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((quote - before) % 2 === 0) return quote;
  }
  return text.length;
}

function isColonNext(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return text.charCodeAt(at) === COLON;
}
