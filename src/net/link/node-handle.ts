/**
 * Node's handle beneath a stream, which has no public name. Where it is missing, or has changed, this gives null, and Node's own streams
 * have to do.
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
