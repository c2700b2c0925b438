/** QEMU's greeting, and its answers to our handshake: few and short, so they are read as JSON, whole. */
import { ascii, asciiText } from '../../shared/bytes.js';

function parseObject(message: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(asciiText(message));
    // JSON.parse's objects have string keys only.
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined;
}

/** @returns the parts of a greeting that are used; null if it is none */
export function readGreeting(message: Uint8Array): { offersOob: boolean; version: string } | null {
  const greeting = member(parseObject(message), 'QMP');
  if (typeof greeting !== 'object' || greeting === null) return null;
  const capabilities = member(greeting, 'capabilities');
  const qemu = member(member(greeting, 'version'), 'qemu');
  const version = ['major', 'minor', 'micro'].map((part) => numberText(member(qemu, part))).join('.');
  return { offersOob: Array.isArray(capabilities) && capabilities.includes('oob'), version };
}

function numberText(value: unknown): string {
  return typeof value === 'number' ? String(value) : '0';
}

/** @returns the greeting of a QEMU that offers everything else. */
export function withoutOob(message: Uint8Array): Uint8Array {
  const text = asciiText(message).replace(/("capabilities"\s*:\s*\[)([^\]]*)/, (_, head: string, list: string) => {
    return (
      head +
      list
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '"oob"')
        .join(', ')
    );
  });
  return ascii(text);
}

/** A reply's id, whether it is an error, and the text of that, if it has any; null when it is no reply. */
export function readReply(message: Uint8Array): { id: unknown; isError: boolean; desc: string | null } | null {
  const reply = parseObject(message);
  if (reply === null || (reply['return'] === undefined && reply['error'] === undefined)) return null;
  const desc = member(reply['error'], 'desc');
  return { id: reply['id'], isError: reply['error'] !== undefined, desc: typeof desc === 'string' ? desc : null };
}
