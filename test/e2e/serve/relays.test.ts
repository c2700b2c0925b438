/** Ways to QEMU on which somebody reads lines, or speaks telnet. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { freePort } from '../../support/daemon/free-port.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

describe('a QEMU behind', { skip: missing('qemu', 'socat'), concurrency: 2 }, () => {
  const relays: readonly (readonly [what: string, command: (monitor: string) => string])[] = [
    [
      'a loop that reads lines',
      (up) => `while IFS= read -r line; do printf "%s\\\\n" "$line"; done | socat - UNIX:${up}`,
    ],
    ['a filter that passes on lines', (up) => `grep --line-buffered . | socat - UNIX:${up}`],
    ['a terminal that echoes', (up) => `exec script -qfc "socat - UNIX:${up}" /dev/null`],
    ['a terminal that does not echo', (up) => `exec script -qfc "stty -echo; socat - UNIX:${up}" /dev/null`],
  ];
  for (const [what, command] of relays) {
    test(`${what} is served, and the log says that commands are ended by line feeds`, async (t) => {
      const qemu = await startQemu(t);
      const upstream = `exec:sh -c '${command(qemu.monitor)}'`;
      const daemon = startDaemon(t, ['--upstream', upstream, '--listen', `unix:${join(qemu.folder, 'mux')}`]);
      const [target = ''] = await daemon.ready();
      const line = await daemon.logged(({ msg }) => msg === 'connected to QEMU');
      assert.equal(line['lines'], true);
      const client = await RawClient.negotiated(target);
      for (let round = 0; round < 150; round++) {
        await client.write(`{"execute":"query-status","id":${round}}{"execute":"query-name","id":"n${round}"}`);
        const answers = await client.readLinesUntil((text) => text.includes(`"n${round}"`));
        assert.equal(answers.length, 2);
      }
      assert.ok(!daemon.errors.includes('that no client waits for'), daemon.errors);
    });
  }

  test('telnet is served, its bytes left out', async (t) => {
    const port = await freePort();
    const qemu = await startQemu(t, { extraArgs: ['-qmp', `telnet:127.0.0.1:${port},server=on,wait=off`] });
    const args = ['--upstream', `tcp:127.0.0.1:${port}`, '--listen', `unix:${join(qemu.folder, 'mux')}`];
    const daemon = startDaemon(t, args);
    const [target = ''] = await daemon.ready();
    const client = await RawClient.negotiated(target);
    await client.write('{"execute":"query-status","id":1}');
    assert.match(await client.readLine(), /"return": \{.*"id": 1\}$/);
  });
});
