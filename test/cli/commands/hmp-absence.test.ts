/** A QEMU without the human monitor: said by everything that speaks to one. */
import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { type Scope, scratch } from '../../support/files/scratch.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 11}, "package": ""}, "capabilities": []}}\r\n';

/** A QMP server that knows no command but the negotiation. @returns its socket */
async function serve(scope: Scope): Promise<string> {
  const path = join(scratch(scope), 'qmp');
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(GREETING);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      const lines = (text + chunk.toString()).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const { execute, id }: { execute: string; id?: unknown } = JSON.parse(line);
        const desc = `The command ${execute} has not been found`;
        const answer = execute === 'qmp_capabilities' ? { return: {} } : { error: { class: 'CommandNotFound', desc } };
        socket.write(`${JSON.stringify({ ...answer, id })}\r\n`);
      }
    });
  });
  scope.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

const SAID = /this QEMU was built without the human monitor \(HMP\), so only QMP commands can be used/;

describe('a QEMU without the human monitor', () => {
  it('is named by qmpmux hmp', async (context) => {
    const { code, errors } = await runQmpmux(['hmp', await serve(context), 'info', 'status']);
    assert.equal(code, 1);
    assert.match(errors, SAID);
  });

  it('is named by the shell', async (context) => {
    const { code, errors } = await runQmpmux(['shell', '-H', await serve(context)], { input: 'info status\n' });
    assert.equal(code, 1);
    assert.match(errors, SAID);
  });
});
