/** Says one thing to a client that is not let in, and closes. */
import type { Socket } from 'node:net';
import { Countdown } from '../../system/countdown.js';

/** How long a client may take to read why it was refused, in milliseconds. */
const REFUSAL_READ_MS = 1000;
/** While this many are being refused, the next one is closed at once: each has a descriptor. */
const MOST_REFUSED_AT_ONCE = 16;

let waitedFor = 0;

/** @param message sent to it; nothing when empty */
export function refuseSocket(socket: Socket, message: Uint8Array): void {
  socket.on('error', () => undefined);
  if (waitedFor >= MOST_REFUSED_AT_ONCE) {
    // A unix socket's peer can read it all the same; one on TCP that has sent something may not.
    socket.end(message);
    socket.destroySoon();
    return;
  }
  waitedFor++;
  const timer = new Countdown(REFUSAL_READ_MS, () => {
    socket.destroy();
  }).unref();
  socket.once('close', () => {
    waitedFor--;
    timer.stop();
  });
  // Throws its input away; when it closes in its turn, the socket goes.
  socket.resume();
  socket.once('end', () => {
    socket.destroySoon();
  });
  socket.end(message);
}
