/**
 * What Node keeps beneath a stream, its handle, for which it has no public name. Where it is missing, or is not what it was, there is
 * null, and we are left with what Node does by itself.
 */
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

export function nodeHandle(stream: Writable): object | null {
  const handle: unknown = Reflect.get(stream, '_handle');
  return typeof handle === 'object' ? handle : null;
}

/** @returns a number that the handle of a stream has, or null */
export function handleProperty(stream: Writable, name: string): number | null {
  const handle = nodeHandle(stream);
  const value: unknown = handle === null ? null : Reflect.get(handle, name);
  return typeof value === 'number' ? value : null;
}

/** @returns the descriptor of a connected socket, or null when it has none (any more) */
export function descriptorOf(socket: Socket): number | null {
  const fd = handleProperty(socket, 'fd');
  return fd !== null && fd >= 0 ? fd : null;
}
