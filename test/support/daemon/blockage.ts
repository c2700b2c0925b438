/**
 * A command that keeps QEMU busy for as long as a test wants: it connects to an NBD server that accepts and says nothing.
 * QEMU executes no other in-band command meanwhile, on any monitor; out-of-band ones it does.
 */
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeFolder, type Scope } from '../files/scratch.js';

export interface Blockage {
  /** The members of the command, without braces, to which a test adds an id if it wants. */
  readonly members: string;
  /** The `error` of its answer, once released. */
  readonly error: string;
  /** Resolves when QEMU is busy with it. */
  readonly begun: Promise<void>;
  /** Lets QEMU go on: the command fails with `error`. */
  release(): void;
}

/** Makes ready for one such command. */
export async function blockage(scope: Scope): Promise<Blockage> {
  const folder = mkdtempSync(join(tmpdir(), 'qm-nbd-'));
  const path = join(folder, 'nbd');
  let connection: Socket | null = null;
  const server = createServer((socket) => {
    connection = socket;
    socket.on('error', () => {
      // QEMU was killed while it waited
    });
  });
  const begun = new Promise<void>((resolve) => {
    server.once('connection', () => {
      resolve();
    });
  });
  server.listen(path);
  await once(server, 'listening');
  const release = () => {
    connection?.destroy();
    server.close();
  };
  scope.after(() => {
    release();
    removeFolder(folder);
  });
  const args = { driver: 'nbd', 'node-name': 'busy', server: { type: 'unix', path } };
  return {
    members: `"execute":"blockdev-add","arguments":${JSON.stringify(args)}`,
    error:
      '{"class": "GenericError", "desc": "Failed to read initial magic: Unexpected end-of-file before all data were read"}',
    begun,
    release,
  };
}
