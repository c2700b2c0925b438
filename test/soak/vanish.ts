/** Clients that connect and are gone: some at once, some in the middle of a command, some with a command upstream. */
import { createConnection } from 'node:net';

const AT_A_TIME = 100;
const LEAVINGS = ['', '{"execute":', '{"execute": "qmp_capabilities"}{"execute": "query-status"}'] as const;

/** @returns when `count` clients have come and gone */
export async function vanish(path: string, count: number): Promise<void> {
  let begun = 0;
  const oneAfterAnother = async () => {
    while (begun < count) {
      const leaving = LEAVINGS[begun++ % LEAVINGS.length] ?? '';
      while (!(await comeAndGo(path, leaving))) {
        // The kernel's queue is full: others are let in first.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, oneAfterAnother));
}

/** @returns whether it got as far as being connected */
function comeAndGo(path: string, leaving: string): Promise<boolean> {
  return new Promise((resolve) => {
    let wasThere = false;
    const socket = createConnection({ path });
    socket.on('error', () => {});
    socket.once('close', () => resolve(wasThere));
    socket.once('connect', () => {
      wasThere = true;
      if (leaving === '') socket.destroy();
      else socket.write(leaving, () => socket.destroy());
    });
  });
}
