/**
 * A guest agent on a Unix socket. As behind a virtio-serial port, it does not notice that one client leaves and another comes: half
 * a command stays in its parser, and answers go to whoever is there.
 */
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Scan, Scanner } from '../../../dist/qmp/json/scanner.js';
import { type Scope, scratch } from '../files/scratch.js';

const INFO = { version: '7.2', supported_commands: [{ name: 'guest-ping', enabled: true }] };

export interface FakeAgent {
  readonly path: string;
  /** The commands it has executed. */
  readonly executed: readonly string[];
}

/**
 * @param earlier the input from earlier clients
 * @param stale sent to the first client before anything else
 */
export async function startFakeAgent(scope: Scope, { earlier = '', stale = '' } = {}): Promise<FakeAgent> {
  const path = join(scratch(scope), 'qga');
  const executed: string[] = [];
  const sockets: Socket[] = [];
  const scanner = new Scanner();
  const answer = (): string => {
    let said = '';
    for (;;) {
      const result = scanner.next();
      if (result === Scan.NeedMore) return said;
      if (result === Scan.Malformed) {
        said += `${JSON.stringify({ error: { class: 'GenericError', desc: scanner.error } })}\n`;
        continue;
      }
      if (scanner.bytes[scanner.start] !== 0x7b) {
        said += `${JSON.stringify({ error: { class: 'GenericError', desc: 'QMP input must be a JSON object' } })}\n`;
        continue;
      }
      const text = Buffer.from(scanner.bytes.subarray(scanner.start, scanner.end)).toString();
      const command: { execute: string; arguments?: { id?: number }; id?: unknown } = JSON.parse(text);
      executed.push(command.execute);
      const known = {
        'guest-ping': {},
        'guest-info': INFO,
        'guest-sync-delimited': command.arguments?.id,
      }[command.execute];
      const error = { class: 'CommandNotFound', desc: `The command ${command.execute} has not been found` };
      const outcome = known === undefined ? { error } : { return: known };
      if (command.execute === 'guest-sync-delimited') said += '\u00ff';
      said += `${JSON.stringify({ ...outcome, id: command.id })}\n`;
    }
  };
  scanner.push(Buffer.from(earlier, 'latin1'));
  let unsent = stale + answer();
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {
      // the client went away first
    });
    socket.write(unsent, 'latin1');
    unsent = '';
    socket.on('data', (bytes) => {
      scanner.push(bytes);
      socket.write(answer(), 'latin1');
    });
  });
  server.listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  scope.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { path, executed };
}
