/** A QMP monitor on a Unix socket that follows a test's script. */
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Scope, scratch } from '../files/scratch.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "scripted"}, "capabilities": ["oob"]}}\r\n';

export interface ScriptedMonitor {
  readonly path: string;
  /** The connections so far. */
  readonly sockets: readonly Socket[];
}

/**
 * Listens, greets, and accepts every negotiation.
 * @param negotiated called with each connection that has negotiated, and with its later input as it comes
 */
export async function startScriptedMonitor(
  scope: Scope,
  negotiated: (socket: Socket, received: (listener: (text: string) => void) => void) => void,
): Promise<ScriptedMonitor> {
  const path = join(scratch(scope), 'qmp');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {
      // the client went away first
    });
    socket.setEncoding('utf8').write(GREETING);
    socket.once('data', (text: string) => {
      const id = /"id": ?("[^"]*"|\d+)/.exec(text)?.[1];
      socket.write(`{"return": {}${id === undefined ? '' : `, "id": ${id}`}}\r\n`);
      negotiated(socket, (listener) => socket.on('data', listener));
    });
  });
  server.listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  scope.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { path, sockets };
}
