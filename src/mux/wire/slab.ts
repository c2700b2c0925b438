/**
 * Room for replies on their way to clients, which live for about a turn of the event loop. A slab is filled from front to back and
 * then left to the garbage collector: nobody else uses the bytes handed out, and they may be held for as long as one likes. With an array
 * for each reply, 50 clients that poll a real QEMU get a third fewer answers a second (docs/adr/0014-for-a-real-qemu.md).
 */
const SIZE = 64 * 1024;
/** From here on a separate array costs less than the room it would leave unused in the slab. */
const LARGE = SIZE / 4;

let slab = new Uint8Array(SIZE);
let used = 0;

/** @returns `size` bytes that nobody else has */
export function room(size: number): Uint8Array {
  if (size > LARGE) return new Uint8Array(size);
  if (size > SIZE - used) {
    slab = new Uint8Array(SIZE);
    used = 0;
  }
  used += size;
  return slab.subarray(used - size, used);
}
