/**
 * The bare Node loop that the fan-out of events is compared with: a process that reads events from the responder and writes each
 * buffer it reads to every socket that is connected to it. Nothing is parsed, counted or bounded.
 */
import { connect, createServer, type Socket } from 'node:net';
import { type ParentMessage, tellParent } from './load.js';

process.on('message', (message: ParentMessage) => {
  if (message.kind !== 'broadcast') return;
  const sockets = new Set<Socket>();
  const upstream = connect(message.from);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    // A client waits for a first line, to know that it is connected.
    socket.write('{"QMP": {}}\r\n');
  });
  // The greeting is not passed on.
  upstream.once('data', () => {
    upstream.on('data', (chunk) => {
      for (const socket of sockets) socket.write(chunk);
    });
    server.listen(message.to, () => tellParent({ kind: 'ready' }));
  });
});
process.on('disconnect', () => process.exit());
