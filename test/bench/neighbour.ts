/**
 * Hostile clients of one kind, in one process: `node neighbour.js KIND COUNT SOCKET`. A flooder keeps 64 commands in flight, a mute
 * never reads what it asked for, a garbler sends random bytes. Each connects again when it is thrown out.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

const [kind = '', count = '1', path = ''] = process.argv.slice(2);
/** How long a client that was thrown out waits before it connects again, in milliseconds. */
const RECONNECT_MS = 20;
const COMMAND = '{"execute": "query-status"}\n';
const NEGOTIATION = '{"execute": "qmp_capabilities"}\n';
const DEPTH = 64;

const GARBAGE = randomBytes(64 * 1024);

function live(): void {
  const socket = connect(path);
  socket.on('error', () => undefined);
  socket.on('close', () => setTimeout(live, RECONNECT_MS));
  socket.on('connect', () => {
    socket.write(NEGOTIATION);
    if (kind === 'flooder') {
      socket.write(COMMAND.repeat(DEPTH));
      socket.on('data', (chunk: Buffer) => {
        let lines = 0;
        for (const byte of chunk) if (byte === 0x0a) lines++;
        if (lines > 0) socket.write(COMMAND.repeat(lines));
      });
    } else if (kind === 'mute') {
      socket.pause();
      const more = () => {
        while (!socket.destroyed && socket.write(COMMAND.repeat(DEPTH)));
      };
      socket.on('drain', more);
      more();
    } else {
      socket.on('data', () => undefined);
      const more = () => {
        while (!socket.destroyed && socket.write(GARBAGE));
      };
      socket.on('drain', more);
      more();
    }
  });
}

for (let index = 0; index < Number(count); index++) live();
process.send?.('ready');
process.on('disconnect', () => process.exit());
