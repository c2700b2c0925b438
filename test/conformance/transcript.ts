/**
 * Transcripts: what a client writes and what QEMU answers, in files that people read.
 *
 *     # a comment
 *     setup: plain              what happens first, for the cases that follow: `none`, `plain` or `oob` negotiation
 *     == name of a case         a new connection
 *     -> {"execute":"query-name"}<LF>
 *     <- {"return": {"name": "vm"}}
 *
 * The bytes of successive `->` lines are joined. A `<-` line stands for one line of the peer, CRLF added; `<-3*` for three like
 * it, `<- ...` for a line not worth recording (long, or of one build). A `->` after a `<-` is sent only when that many lines
 * have come. In both, `<…>` is an escape: `<LF>`, `<CR>`, `<TAB>`,
 * `<SP>`, `<NUL>`, a byte as two hexadecimal digits, or `<1023*[>` for a text repeated; a `<` itself is `<3c>`. Nothing else is
 * special, so JSON stands as it is sent. Timestamps of events are written with zeros.
 *
 * Directives inside a case: `end: close` (half-close instead of a last command), `end: eof` (the peer ends the connection),
 * `greeting: unread` (the bytes are written at once, before the greeting has come), `vm: own` (a VM for this case alone),
 * `chunks: whole` (never byte by byte: it would take too long), `slow: yes` (only in the full run).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Setup = 'none' | 'plain' | 'oob';

export type Step =
  | { readonly kind: 'send'; readonly bytes: Buffer }
  | { readonly kind: 'expect'; readonly lines: readonly string[] };

export interface Case {
  readonly name: string;
  /** `file:line` of its heading. */
  readonly place: string;
  readonly setup: Setup;
  /** How it is known that all has come: a last command's answer, EOF after a half-close, or EOF of the peer's own accord. */
  readonly end: 'command' | 'close' | 'eof';
  /** Whether the greeting is waited for before anything is written. */
  readonly greeting: 'read' | 'unread';
  readonly vm: 'shared' | 'own';
  readonly chunks: 'any' | 'whole';
  readonly slow: boolean;
  readonly steps: readonly Step[];
}

const named: Record<string, string> = { LF: '\n', CR: '\r', TAB: '\t', SP: ' ', NUL: '\0' };

/** Stands in a transcript for a line of whatever content. */
export const anything = '...';

/** @returns the bytes that a line's text stands for. */
export function unescape(text: string, place: string): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const match of text.matchAll(/<([^>]*)>/g)) {
    parts.push(Buffer.from(text.slice(at, match.index)));
    const word = match[1] ?? '';
    const repeat = /^(\d+)\*(.*)$/s.exec(word);
    const character = named[word];
    if (character !== undefined) parts.push(Buffer.from(character));
    else if (/^[0-9a-f]{2}$/.test(word)) parts.push(Buffer.from(word, 'hex'));
    else if (repeat !== null) parts.push(Buffer.from((repeat[2] ?? '').repeat(Number(repeat[1]))));
    else throw new Error(`${place}: unknown escape <${word}>`);
    at = match.index + match[0].length;
  }
  parts.push(Buffer.from(text.slice(at)));
  return Buffer.concat(parts);
}

/** @returns `bytes` as a transcript would show them; used for reports and for recording. */
export function escape(bytes: Uint8Array): string {
  const names = new Map(Object.entries(named).map(([name, character]) => [character, name]));
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^ -;=-~]/g, (character) => {
      const name = names.get(character);
      return `<${name ?? character.charCodeAt(0).toString(16).padStart(2, '0')}>`;
    })
    .replace(/ $/, '<SP>');
}

/** @returns the cases of one transcript. Throws on anything that is not of the form above. */
export function parseTranscript(text: string, file: string): Case[] {
  const cases: Case[] = [];
  let setup: Setup = 'plain';
  let current: Draft | null = null;
  const finish = () => {
    if (current !== null) cases.push(finished(current));
    current = null;
  };
  text.split('\n').forEach((line, index) => {
    const place = `${file}:${index + 1}`;
    const directive = /^(\w+): (\w+)$/.exec(line);
    if (line === '' || line.startsWith('#')) return;
    if (line.startsWith('== ')) {
      finish();
      current = { name: line.slice(3), place, setup, directives: new Map(), steps: [] };
    } else if (directive !== null && directive[1] === 'setup') {
      finish();
      setup = oneOf(directive[2] ?? '', ['none', 'plain', 'oob'], place);
    } else if (current === null) {
      throw new Error(`${place}: not in a case: ${line}`);
    } else if (directive !== null) {
      current.directives.set(directive[1] ?? '', directive[2] ?? '');
    } else {
      addStep(current.steps, line, place);
    }
  });
  finish();
  return cases;
}

/** @returns every case of the folder of transcripts, in the order of the files' names. */
export function loadTranscripts(folder: string): { readonly file: string; readonly cases: Case[] }[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.txt'))
    .sort()
    .map((file) => ({ file, cases: parseTranscript(readFileSync(join(folder, file), 'utf8'), file) }));
}

interface Draft {
  readonly name: string;
  readonly place: string;
  readonly setup: Setup;
  readonly directives: Map<string, string>;
  readonly steps: Step[];
}

function addStep(steps: Step[], line: string, place: string): void {
  const sent = /^-> (.*)$/.exec(line);
  const expected = /^<-(?:(\d+)\*)? (.*)$/.exec(line);
  const last = steps.at(-1);
  if (sent !== null) {
    const bytes = unescape(sent[1] ?? '', place);
    if (last?.kind === 'send') steps[steps.length - 1] = { kind: 'send', bytes: Buffer.concat([last.bytes, bytes]) };
    else steps.push({ kind: 'send', bytes });
  } else if (expected !== null) {
    const text = unescape(expected[2] ?? '', place).toString('latin1');
    const lines = Array.from({ length: Number(expected[1] ?? '1') }, () => text);
    if (last?.kind === 'expect') steps[steps.length - 1] = { kind: 'expect', lines: [...last.lines, ...lines] };
    else steps.push({ kind: 'expect', lines });
  } else {
    throw new Error(`${place}: not a line of a transcript: ${line}`);
  }
}

function finished(draft: Draft): Case {
  const take = <T extends string>(name: string, values: readonly [T, ...T[]]): T => {
    const value = draft.directives.get(name) ?? values[0];
    draft.directives.delete(name);
    return oneOf(value, values, draft.place);
  };
  const result: Case = {
    name: draft.name,
    place: draft.place,
    setup: draft.setup,
    steps: draft.steps,
    end: take('end', ['command', 'close', 'eof']),
    greeting: take('greeting', ['read', 'unread']),
    vm: take('vm', ['shared', 'own']),
    chunks: take('chunks', ['any', 'whole']),
    slow: take('slow', ['no', 'yes']) === 'yes',
  };
  const [unknown] = draft.directives.keys();
  if (unknown !== undefined) throw new Error(`${draft.place}: unknown directive ${unknown}`);
  return result;
}

function oneOf<T extends string>(value: string, values: readonly T[], place: string): T {
  const found = values.find((one) => one === value);
  if (found === undefined) throw new Error(`${place}: ${value} is none of ${values.join(', ')}`);
  return found;
}
