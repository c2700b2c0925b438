/** Says one thing to a client that is not let in, and closes. */
import type { Socket } from 'node:net';

/** How long a client may take to read why it was refused, in milliseconds. */
const PATIENCE = 1000;

/** @param message what it is told; nothing when empty */
export function refuseSocket(socket: Socket, message: Uint8Array): void {
  const timer = setTimeout(() => {
    socket.destroy();
  }, PATIENCE);
  timer.unref();
  socket.on('error', () => undefined);
  socket.once('close', () => {
    clearTimeout(timer);
  });
  // What it sends is thrown away; when it closes in its turn, the socket goes.
  socket.resume();
  socket.once('end', () => {
    socket.destroySoon();
  });
  socket.end(message);
}
