/** A socket that nobody listens on any more, as a crash leaves it. */
import { execFileSync } from 'node:child_process';

/** Makes one at `path`. */
export function makeDeadSocket(path: string): void {
  const program = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  try {
    execFileSync(process.execPath, ['-e', program, path]);
  } catch {
    // it was killed, and left its socket behind
  }
}
