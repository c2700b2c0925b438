/** The lines that the README and docs/how-to/connect.md give to be pasted do what they say: run by a shell as they are, but for the folder. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { missing, qemuProgram } from '../support/daemon/programs.js';
import { scratch, suiteScope } from '../support/files/scratch.js';
import { RawClient } from '../support/world/raw-client.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const connect = readFileSync(join(root, 'docs/how-to/connect.md'), 'utf8');

/** The one line of a block of code, or piece of code in a sentence, that an expression names. */
function line(what: RegExp, page = readme): string {
  const blocks = [...page.matchAll(/^ {4}(\S.*)$/gm)].map(([, text = '']) => text);
  const pieces = [...page.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text.replaceAll('\\|', '|'));
  const found = [...blocks, ...pieces].find((text) => what.test(text));
  assert.ok(found !== undefined, `there is no line for ${what}`);
  return found;
}

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const PATIENCE = 60_000;

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + PATIENCE; !(await isSo()); await pause(20)) {
    if (Date.now() > end) throw new Error(`waited for ${String(isSo)}`);
  }
}

test('the README can be read in a minute or two', () => {
  assert.ok(readme.split('\n').length - 1 <= 100, 'at most 100 lines');
});

test('the README names the versions of Node.js that package.json does', () => {
  const { engines }: { engines: { node: string } } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.equal(engines.node, '^20.19 || ^22.12 || >=24');
  assert.ok(readme.includes('Node.js 20.19, 22.12, or 24 and later'));
});

describe('the README', { skip: missing('qemu', 'bash', 'nc', 'socat', 'timeout') }, () => {
  const scope = suiteScope();
  const folder = scratch(scope);
  const running: ChildProcess[] = [];

  before(async () => {
    const program = `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'bin/qmpmux.js')}" "$@"\n`;
    writeFileSync(join(folder, 'qmpmux'), program);
    chmodSync(join(folder, 'qmpmux'), 0o755);
    scope.after(async () => {
      await Promise.all(running.map(ended));
    });
    goOn(line(/^qemu-system-x86_64 .* -qmp/));
    goOn(line(/^qmpmux serve --upstream unix:\S+ --listen unix:\S+$/));
    await until(() => isServed('vm.mux'));
  });

  function start(text: string): ChildProcess {
    const own = text.replace(/^qemu-system-x86_64/, qemuProgram).replaceAll('/run/', `${folder}/`);
    const env = { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}`, QMPMUX_SOCKET: '', NO_COLOR: '1' };
    return spawn('bash', ['-c', `exec 2>&1; ${own}`], { cwd: folder, env, detached: true });
  }

  function goOn(text: string): void {
    const child = start(text);
    child.stdout?.resume();
    child.stdin?.end();
    running.push(child);
  }

  /** The shell and what it has started are a group of processes. */
  async function ended(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const gone = new Promise((resolve) => child.once('close', resolve));
    process.kill(-child.pid, 'SIGTERM');
    await gone;
  }

  async function isServed(socket: string): Promise<boolean> {
    try {
      const client = await RawClient.connect(join(folder, socket));
      await client.close();
      return true;
    } catch {
      return false;
    }
  }

  /** Runs a line with something typed into it, until its output has `wanted`. */
  async function types(text: string, input: string, wanted: RegExp): Promise<void> {
    const child = start(text);
    running.push(child);
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      output += part;
    });
    // A line that reads nothing may be over by now.
    if (input !== '') child.stdin?.write(input);
    let isOver = false;
    child.once('close', () => {
      isOver = true;
    });
    await until(() => isOver || wanted.test(output));
    assert.match(output, wanted, text);
    await ended(child);
  }

  const negotiated = '{"execute":"qmp_capabilities"}\n{"execute":"query-status","id":7}\n';
  const answered = /"QMP"[^]*\{"return": \{\}\}[^]*"status"[^]*"id": 7\}/;

  test('shares a VM with the lines of "First success", and nc connects', async () => {
    for (const page of [readme, connect]) await types(line(/^nc -U \S+\.mux$/, page), negotiated, answered);
  });

  test('has a line with printf and nc that answers, and ends, in docs/how-to/connect.md', async () => {
    await types(line(/^printf .* nc -N/, connect), '', /\{"return": \{\}\}[^]*"status": "prelaunch"/);
  });

  test('has a line with exec that answers, and ends', async () => {
    for (const page of [readme, connect]) await types(line(/^qmpmux exec /, page), '', /\{"return": \{[^]*"prelaunch"/);
  });

  test('has lines for the shell and, in docs/how-to/connect.md, for socat', async () => {
    // rlwrap itself needs a terminal: test/e2e/clients/programs.test.ts
    await types(line(/^rlwrap socat \S+\.mux/, connect).replace(/^rlwrap /, ''), negotiated, answered);
    for (const page of [readme, connect]) {
      await types(line(/^qmpmux shell \S+$/, page), 'query-status\n', /"status": "prelaunch"/);
    }
  });

  test('has a line that completes what is typed, in docs/how-to/connect.md', async () => {
    await types(
      `${line(/^source <\(qmpmux completion bash\)$/, connect)}; complete -p qmpmux`,
      '',
      /complete .* qmpmux/,
    );
  });

  test('has listeners that serve as they are written', async (t) => {
    const listeners = [...`${readme}${connect}`.matchAll(/--listen (unix:\/\S+)`/g)].map(([, address = '']) => address);
    assert.ok(listeners.length >= 3, `${listeners.length} listeners`);
    // The group is not on every machine.
    const flags = listeners.map((address) => `--listen ${address.replaceAll(/,(?:allow-gid|group)=\w+/g, '')}`);
    const names = flags.map((flag) => /\/run\/([^,]+)/.exec(flag)?.[1] ?? '');
    // vm.mux is served already.
    const own = flags.map((flag) => flag.replace('/vm.mux', '/other.mux')).join(' ');
    const child = start(`qmpmux serve --upstream /run/vm.mux ${own}`);
    child.stdout?.resume();
    t.after(() => ended(child));
    for (const name of names) await until(() => isServed(name.replace('vm.mux', 'other.mux')));
  });

  test('has a line that takes QEMU’s place, and gives it back', async (t) => {
    const text = line(/^qmpmux serve .*--takeover$/);
    assert.equal(line(/^qmpmux serve .*--takeover$/, connect), text);
    const socket = join(folder, 'taken.qmp');
    const vm = start(line(/^qemu-system-x86_64 .* -qmp/).replace('vm.qmp', 'taken.qmp'));
    vm.stdout?.resume();
    t.after(() => ended(vm));
    await until(() => isServed('taken.qmp'));
    const child = start(text.replace('vm.qmp', 'taken.qmp'));
    let log = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      log += part;
    });
    t.after(() => ended(child));
    await until(() => log.includes('qmpmux: ready'));
    const clients = [await RawClient.negotiated(socket), await RawClient.negotiated(socket)];
    for (const client of clients) await client.close();
    await ended(child);
    const direct = await RawClient.negotiated(socket);
    await direct.close();
  });
});
