/** A QMP server that has done whatever it is asked to: for tests of what is done ten thousand times, and of qmpmux alone. */
import { createServer, type Socket } from 'node:net';
import type { Scope } from './scratch.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';
/** The id that ends what qmpmux sends as one command. */
const END = /"id":("\w+"|\d+)\}/g;

/** Listens at `path`. Descriptors that come are closed by the kernel, since Node does not take them. */
export function agreeableMonitor(scope: Scope, path: string): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (bytes) => {
      rest += bytes.toString('latin1');
      let answers = '';
      let end = 0;
      for (const found of rest.matchAll(END)) {
        answers += `{"return": {}, "id": ${found[1]}}\r\n`;
        end = found.index + found[0].length;
      }
      rest = rest.slice(end);
      if (answers !== '') socket.write(answers);
    });
    socket.write(GREETING);
  });
  scope.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return new Promise((resolve) => {
    server.listen(path, resolve);
  });
}
