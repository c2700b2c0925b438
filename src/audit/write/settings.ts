/** A user's settings of the audit log, from the config file or from flags, and the few forms it has as text. */

import { AuditSettingError } from '../log/errors.js';
import type { LeftOut } from '../log/kinds.js';
import { MOST_SEGMENTS } from '../redact/redaction-rules.js';
import type { RedactionRule } from '../redact/redaction-table.js';
import type { OnError } from './audit-log.js';
import type { TransportSettings } from './transport-tap.js';

export type Destination =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stdout' }
  | ({ readonly kind: 'transport' } & TransportSettings);

export interface AuditSettings {
  /** At least one; at most one of them is a file or stdout, and that one carries the guarantee. */
  readonly destinations: readonly Destination[];
  /** fdatasync before commands go upstream. */
  readonly sync: boolean;
  readonly chain: boolean;
  readonly onError: OnError;
  /** The most bytes kept of a message that is no command; 0 for all. */
  readonly maxMessage: number;
  readonly leftOut: LeftOut;
  /** Redactions beside those that are built in. */
  readonly redact: readonly RedactionRule[];
}

/** The destination that the guarantee rests on: a file by its path, or stdout; null where there are only transports. */
export function mainDestination({ destinations }: AuditSettings): string | null {
  for (const destination of destinations) {
    if (destination.kind === 'stdout') return destination.kind;
    if (destination.kind === 'file') return destination.path;
  }
  return null;
}

const TRANSPORT = 'transport:';

/**
 * Reads a destination: a file's path, `stdout`, or `transport:NAME`, with options after commas as in
 * `transport:pino-socket,address=10.0.0.1,port=514` (two commas mean one; numbers, true, false, and lists and objects in JSON have these
 * types: `labels={"app":"vm"}`).
 * @throws AuditSettingError
 */
export function parseDestination(text: string): Destination {
  if (text === 'stdout') return { kind: 'stdout' };
  if (!text.startsWith(TRANSPORT)) {
    if (text === '' || text.includes('\0')) throw new AuditSettingError('the audit log needs the name of a file');
    return { kind: 'file', path: text };
  }
  const [target = '', ...options] = splitOptions(text.slice(TRANSPORT.length));
  if (target === '') throw new AuditSettingError(`'${text}' does not name a transport: write transport:NAME`);
  const pairs = options.map((option) => {
    const at = option.indexOf('=');
    if (at <= 0) throw new AuditSettingError(`'${option}' in '${text}' is not of the form KEY=VALUE`);
    return [option.slice(0, at), optionValue(option.slice(at + 1), text)] as const;
  });
  return { kind: 'transport', target, options: Object.fromEntries(pairs) };
}

/** @returns the parts between single commas; commas within JSON are its own, and of two one is left */
function splitOptions(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  let at = 0;
  while (at < text.length) {
    const char = text[at] ?? '';
    const isValue = part.endsWith('=') && part.indexOf('=') === part.length - 1 && parts.length > 0;
    if (isValue && (char === '{' || char === '[')) {
      const end = jsonEnd(text, at);
      part += text.slice(at, end);
      at = end;
    } else if (char === ',' && text[at + 1] === ',') {
      part += ',';
      at += 2;
    } else {
      if (char === ',') {
        parts.push(part);
        part = '';
      } else part += char;
      at++;
    }
  }
  return [...parts, part];
}

/** @returns where the JSON text that begins at `at` ends, by its brackets; the end of all where they do not close */
function jsonEnd(text: string, at: number): number {
  let depth = 0;
  let isString = false;
  for (let i = at; i < text.length; i++) {
    const char = text[i] ?? '';
    if (isString) {
      if (char === '\\') i++;
      else if (char === '"') isString = false;
    } else if (char === '"') isString = true;
    else if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && --depth === 0) return i + 1;
  }
  return text.length;
}

function optionValue(text: string, whole: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^[[{]/.test(text)) {
    try {
      const value: unknown = JSON.parse(text);
      return value;
    } catch {
      throw new AuditSettingError(`'${text.slice(0, 60)}' in '${whole.slice(0, 60)}' is not JSON`);
    }
  }
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}

/**
 * Checks that the destinations go together.
 * @throws AuditSettingError when there is none, or more than one that would carry the guarantee
 */
export function checkDestinations(destinations: readonly Destination[]): void {
  if (destinations.length === 0) throw new AuditSettingError('the audit log has no destination');
  if (destinations.filter((each) => each.kind !== 'transport').length > 1) {
    throw new AuditSettingError('the audit log goes to one file or to stdout; only transports may be added to it');
  }
}

/**
 * Reads a redaction of the user's: `COMMAND:PATH`, where `COMMAND` may have `*` in it and `PATH` is as in redaction-table.ts, such as
 * `send-key:arguments.keys` or `qom-list-get:return.**.value`.
 * @throws AuditSettingError
 */
export function parseRedaction(text: string): RedactionRule {
  const match = /^([^:\s]+):([^\s]+)$/.exec(text);
  const [, command = '', path = ''] = match ?? [];
  if (match === null || path.split('.').includes('')) {
    throw new AuditSettingError(`'${text}' is not a redaction: write COMMAND:PATH, such as send-key:arguments.keys`);
  }
  if (path.split('.').length > MOST_SEGMENTS) {
    throw new AuditSettingError(`the path in '${text.slice(0, 60)}…' has more than ${MOST_SEGMENTS} parts`);
  }
  return { command, path, removal: { kind: 'value' }, source: 'the config' };
}
