/** QMP over the standard input and output of a command: `exec:ssh host socat - UNIX:/run/vm.qmp`. */
import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { ConnectionError } from '../../client/errors.js';

/**
 * Starts the command. Its standard error goes to ours.
 * @throws ConnectionError when it cannot be started
 */
export async function openCommand([program, ...words]: readonly [string, ...string[]]): Promise<Duplex> {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(new ConnectionError('QMPMUX_UNREACHABLE', `exec:${program} cannot be started: ${error.message}`, error));
    });
  });
  // It may end while we write to it; its output shows that.
  child.stdin.on('error', () => undefined);
  return Duplex.from({ readable: child.stdout, writable: child.stdin });
}
