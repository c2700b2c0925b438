/** Every example of the help, and so of the manual pages and docs/reference/commands.md, is run by a shell as it stands, but for the paths. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CommandLeaf } from '../../dist/cli/framework/command-tree.js';
import { loadCommands } from '../../dist/cli/subcommands.js';
import { startDaemon } from '../support/daemon/daemon.js';
import { type Finished, finished } from '../support/daemon/run-qmpmux.js';
import { scratch, suiteScope } from '../support/files/scratch.js';
import { missing, startQemu } from '../support/qemu/qemu.js';

const program = fileURLToPath(new URL('../../bin/qmpmux.js', import.meta.url));
const { leaves } = await loadCommands();

/** What goes on until it is ended: it is, when this long has passed without a fault, in seconds. */
const WHILE = 3;
/** What ends by itself is waited for, and given up only when something is wrong. In seconds. */
const PATIENCE = 120;
const FOREVER = new Set(['serve', 'demo', 'top', 'events', 'shell']);
const COMPINIT = 'autoload -U compinit; compinit -u -D';
const GOES_ON = /audit show -f|replay|--timeout/;

describe('the examples', { skip: missing('qemu', 'bash', 'zsh', 'jq'), concurrency: 2 }, () => {
  const scope = suiteScope();
  const folder = scratch(scope);

  before(async () => {
    for (const name of ['bin', 'etc', 'etc/qmpmux', 'etc/qmpmux/conf.d', 'elsewhere']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'bin/qmpmux'), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`);
    chmodSync(join(folder, 'bin/qmpmux'), 0o755);
    const rules = 'rules = ["allow @read-only", "allow hmp info"]';
    const config = `[monitor.web1]\nupstream = "${folder}/web1.qmp"\nlisten = ["${folder}/web1.mux"]\n[policy.backup]\n${rules}\n`;
    for (const name of ['etc/qmpmux.toml', 'etc/qmpmux/web1.toml', 'etc/qmpmux/conf.d/web1.toml']) {
      writeFileSync(join(folder, name), config);
    }
    writeFileSync(join(folder, 'etc/qmpmux/backup.rules'), 'allow @read-only\n');
    writeFileSync(join(folder, 'key'), 'a secret\n');
    const vm = await startQemu(scope, { machine: 'q35', extraArgs: ['-smp', '2'] });
    const testVm = await startQemu(scope);
    const listen = ['vm.mux', 'vm.ctl,extensions=on'].flatMap((name) => ['--listen', `${folder}/${name}`]);
    const audit = ['--audit', `${folder}/audit.log`, '--audit-chain'];
    const daemon = startDaemon(scope, ['--upstream', vm.monitor, ...listen, ...audit]);
    await daemon.ready();
    await startDaemon(scope, ['--upstream', testVm.monitor, '--listen', `${folder}/test-vm.qmp`]).ready();
    await startDaemon(scope, ['--upstream', (await startQemu(scope)).monitor, '--listen', `${folder}/vm.qga`]).ready();
    await run('qmpmux exec /run/vm.mux query-status');
    renameSync(join(folder, 'audit.log'), join(folder, 'audit.log.1'));
    process.kill(daemon.pid, 'SIGHUP');
    while (!existsSync(join(folder, 'audit.log'))) await pause(10);
    await run('qmpmux exec /run/vm.mux query-status; gzip audit.log.1');
    const { output } = await run('qmpmux audit verify audit.log*');
    writeFileSync(join(folder, 'elsewhere/head'), /head (\S+)/.exec(output)?.[1] ?? '');
  });

  /** Here instead of in the system's folders. */
  function here(line: string): string {
    return line
      .replaceAll('$0', 'qmpmux')
      .replaceAll(/\/run\/|\/var\/log\/qmpmux\/|\/var\/log\/(?=qmpmux)/g, `${folder}/`)
      .replaceAll('/etc/', `${folder}/etc/`)
      .replaceAll('/mnt/elsewhere/', `${folder}/elsewhere/`)
      .replaceAll(/,group=\w+/g, '')
      .replace('tcp:localhost:4444', 'tcp:localhost:0')
      .replace('exec:ssh host socat', 'exec:socat')
      .replace('audit.log* ', 'audit.log ');
  }

  /** Runs a line, and ends it after so many seconds. */
  function run(line: string, seconds = PATIENCE): Promise<Finished> {
    const env = { ...process.env, PATH: `${folder}/bin:${process.env['PATH'] ?? ''}`, QMPMUX_SOCKET: '' };
    return finished(spawn('timeout', [String(seconds), 'bash', '-c', here(line)], { cwd: folder, env }));
  }

  let count = 0;
  const goesOn = ({ name }: CommandLeaf, line: string) => FOREVER.has(name) || GOES_ON.test(line);

  for (const leaf of leaves) {
    for (const [line, what] of leaf.command.examples) {
      test(`${line.replaceAll('$0', 'qmpmux')}: ${what}`, async () => {
        const own = leaf.name === 'serve' ? line.replaceAll(/vm\.mux|qmpmux\.audit/g, `${++count}.$&`) : line;
        const { code, output, errors } = await run(
          own.includes('completion zsh') ? `zsh -fc '${COMPINIT}; ${own}'` : own,
          goesOn(leaf, line) ? WHILE : PATIENCE,
        );
        // A `no` is an answer as well: no client 3, no such event, a policy that denies.
        const said = `${code} ${output} ${errors}`;
        const isNobody = line.includes('$($0 clients') && errors.includes('name the clients by their numbers');
        const isFine = code === 0 || code === 1 || isNobody || (code === 124 && goesOn(leaf, line));
        assert.ok(isFine, said);
        assert.equal(/Usage:|unknown (command|option)|unexpected here/.test(said), false, said);
      });
    }
  }
});
