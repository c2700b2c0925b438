import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { checkDestinations, parseDestination } from '../../../dist/audit/write/settings.js';
import { StreamSink } from '../../../dist/audit/write/stream-sink.js';
import { transportFile } from '../../../dist/audit/write/transport-file.js';
import { freePort } from '../../support/daemon/free-port.js';
import { scratch } from '../../support/files/scratch.js';
import { assertValid, openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';

describe('a destination', () => {
  test('is a file, stdout, or a transport with options', () => {
    assert.deepEqual(parseDestination('/var/log/a'), { kind: 'file', path: '/var/log/a' });
    assert.deepEqual(parseDestination('./stdout'), { kind: 'file', path: './stdout' });
    assert.deepEqual(parseDestination('stdout'), { kind: 'stdout' });
    assert.deepEqual(parseDestination('transport:pino-x'), { kind: 'transport', target: 'pino-x', options: {} });
    assert.deepEqual(parseDestination('transport:x,labels={"app":"a,b]\\"","n":[1]},list=[1,2],a=b,,c,n=5,on=true'), {
      kind: 'transport',
      target: 'x',
      options: { labels: { app: 'a,b]"', n: [1] }, list: [1, 2], a: 'b,c', n: 5, on: true },
    });
    for (const wrong of ['', 'transport:', 'transport:x,y', 'transport:x,a={', 'transport:x,a={b}']) {
      assert.throws(() => parseDestination(wrong), { code: 'QMPMUX_AUDIT_SETTING' });
    }
  });

  test('is the only one, except for transports', () => {
    const file = parseDestination('/a');
    const transport = parseDestination('transport:x');
    checkDestinations([file, transport, transport]);
    checkDestinations([transport]);
    assert.throws(
      () => {
        checkDestinations([]);
      },
      { code: 'QMPMUX_AUDIT_SETTING' },
    );
    assert.throws(
      () => {
        checkDestinations([file, file]);
      },
      { code: 'QMPMUX_AUDIT_SETTING' },
    );
    assert.throws(
      () => {
        checkDestinations([file, parseDestination('stdout')]);
      },
      { code: 'QMPMUX_AUDIT_SETTING' },
    );
  });
});

describe('standard output', () => {
  test('gets the records before the commands go on', async (t) => {
    const path = join(scratch(t), 'out');
    const fd = openSync(path, 'w');
    t.after(() => {
      closeSync(fd);
    });
    const sink = new StreamSink(fd);
    assert.equal(sink.write(Buffer.from('one\n')), null);
    assert.equal(sink.write(Buffer.from('two\n')), null);
    assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n');
  });

  test('that is full refuses commands too, and gets the missing records when it has room', (t) => {
    // A pipe that nobody reads, not blocking; its other end is read afterwards.
    const script = `
      import { StreamSink } from ${JSON.stringify(new URL('../../../dist/audit/write/stream-sink.js', import.meta.url).href)};
      import { openSync, readSync, constants } from 'node:fs';
      import { execFileSync } from 'node:child_process';
      execFileSync('mkfifo', ['p']);
      const reader = openSync('p', constants.O_RDONLY | constants.O_NONBLOCK);
      const writer = openSync('p', constants.O_WRONLY | constants.O_NONBLOCK);
      const sink = new StreamSink(writer);
      const line = Buffer.from('x'.repeat(9999) + '\\n');
      let written = 0;
      let trouble = null;
      while (trouble === null) { trouble = sink.write(line); written++; }
      if (!trouble.startsWith('EAGAIN')) throw new Error(trouble);
      let text = '';
      const chunk = Buffer.alloc(1 << 20);
      const drain = () => { try { for (;;) { const n = readSync(reader, chunk); if (n === 0) break; text += chunk.toString('latin1', 0, n); } } catch {} };
      drain();
      if (sink.retry() !== null) throw new Error('it does not recover');
      drain();
      const lines = text.split('\\n');
      if (lines.length !== written + 1 || lines.some((each, i) => each.length !== (i < written ? 9999 : 0))) throw new Error('lines are torn');
      console.log('good');`;
    const folder = scratch(t);
    const ran = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder, encoding: 'utf8' });
    assert.equal(ran.stdout, 'good\n', ran.stderr);
  });

  test('that nobody reads any more stays refused', (t) => {
    const script = `
      import { StreamSink } from ${JSON.stringify(new URL('../../../dist/audit/write/stream-sink.js', import.meta.url).href)};
      import { openSync, closeSync, constants, writeFileSync } from 'node:fs';
      import { execFileSync } from 'node:child_process';
      execFileSync('mkfifo', ['p']);
      const reader = openSync('p', constants.O_RDONLY | constants.O_NONBLOCK);
      const sink = new StreamSink(openSync('p', constants.O_WRONLY | constants.O_NONBLOCK));
      closeSync(reader);
      console.log([sink.write(Buffer.from('a')), sink.write(Buffer.from('b')), sink.retry()].map((each) => String(each).slice(0, 5)).join());`;
    const folder = scratch(t);
    const ran = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder, encoding: 'utf8' });
    assert.equal(ran.stdout, 'EPIPE,EPIPE,EPIPE\n', ran.stderr);
  });
});

describe('a pino transport', () => {
  // A transport's thread keeps no process alive, so something has to while it is waited for.
  let alive: NodeJS.Timeout;
  before(() => {
    alive = setInterval(() => undefined, 1000);
  });
  after(() => {
    clearInterval(alive);
  });

  test('gets every record, within a line as pino writes them', async (t) => {
    const folder = scratch(t);
    const target = join(folder, 'transport.cjs');
    writeFileSync(
      target,
      `const fs = require('fs');
      module.exports = ({ file }) => fs.createWriteStream(file, { flags: 'a' });`,
    );
    const file = join(folder, 'out');
    const log = await openTestLog(
      t,
      {
        chain: true,
        destinations: [
          { kind: 'file', path: join(folder, 'audit.log') },
          { kind: 'transport', target, options: { file } },
        ],
      },
      join(folder, 'audit.log'),
    );
    const command = testCommand(testClient(), 'stop', '{"execute":"stop","id":18446744073709551615}');
    log.recorder.command(command);
    assert.equal(log.recorder.flush(), null);
    log.recorder.answered(command, [wire('{"error": {"class": "GenericError", "desc": "no"}}')], true, 'upstream');
    const lines = (await log.close()).split('\n').slice(0, -1);
    const sent = readFileSync(file, 'utf8').split('\n').slice(0, -1);
    assert.equal(sent.length, lines.length);
    sent.forEach((text, index) => {
      // The record is in it as it is in the file: no number has been through a double.
      assert.ok(text.endsWith(`,"audit":${lines[index]}}`), text);
      const line: { level: number; time: number; msg: string; name: string; audit: unknown } = JSON.parse(text);
      assertValid(line.audit);
      assert.equal(line.name, 'qmpmux-audit');
      assert.ok(Math.abs(line.time - Date.now()) < 60_000);
    });
    assert.deepEqual(
      sent.map((text): string => (JSON.parse(text) as { msg: string }).msg),
      ['daemon start', 'command stop', 'error', 'daemon stop'],
    );
    assert.deepEqual(
      sent.map((text): number => (JSON.parse(text) as { level: number }).level),
      [30, 30, 40, 30],
    );
  });

  test('that fails is reported, and holds nothing up', async (t) => {
    const folder = scratch(t);
    const target = join(folder, 'transport.cjs');
    writeFileSync(target, 'module.exports = () => { throw new Error("no server"); };');
    const log = await openTestLog(
      t,
      {
        destinations: [
          { kind: 'file', path: join(folder, 'audit.log') },
          { kind: 'transport', target, options: {} },
        ],
      },
      join(folder, 'audit.log'),
    );
    // The thread is started by a write, and fails whenever the machine gets to it.
    while (!log.reports.some((report) => report.includes(' has failed '))) {
      log.recorder.command(testCommand(testClient(), 'stop', '{"execute":"stop"}'));
      assert.equal(log.recorder.flush(), null);
      await setTimeout(10);
    }
    assert.match(
      log.reports.find((report) => report.includes(' has failed ')) ?? '',
      /^error transport .* has failed \(no server\); restarting it in 1 s/,
    );
    log.recorder.event('STOP', [wire('{}')], 0);
    await log.close();
    assert.ok(log.reports.some((report) => /did not get: \d+$/.test(report)));
  });

  test('that fails is reported with its reason, also where its thread has ended before anyone looks', async (t) => {
    const folder = scratch(t);
    const target = join(folder, 'transport.cjs');
    const gone = join(folder, 'gone');
    writeFileSync(
      target,
      `module.exports = () => {
        require('fs').writeFileSync(${JSON.stringify(gone)}, '');
        throw new Error("no server");
      };`,
    );
    const path = join(folder, 'audit.log');
    const destinations = [
      { kind: 'file', path },
      { kind: 'transport', target, options: {} },
    ] as const;
    const log = await openTestLog(t, { destinations }, path);
    // This thread looks away until the other one is at its end, so that its error and its end are both there.
    while (!existsSync(gone)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    while (!log.reports.some((report) => report.includes(' has failed '))) await setTimeout(5);
    assert.match(log.reports.find((report) => report.includes(' has failed ')) ?? '', / has failed \(no server\)/);
  });

  test('that fails is started again, and gets the records that waited for it', async (t) => {
    const folder = scratch(t);
    const target = join(folder, 'transport.cjs');
    const file = join(folder, 'out');
    writeFileSync(
      target,
      `const fs = require('fs');
      module.exports = ({ file }) => {
        if (!fs.existsSync(file + '.ready')) { fs.writeFileSync(file + '.ready', ''); throw new Error('not yet'); }
        return fs.createWriteStream(file, { flags: 'a' });
      };`,
    );
    const path = join(folder, 'audit.log');
    const destinations = [
      { kind: 'file', path },
      { kind: 'transport', target, options: { file } },
    ] as const;
    const log = await openTestLog(t, { destinations }, path);
    while (!log.reports.some((report) => report.includes('restarting it'))) await setTimeout(5);
    log.recorder.event('STOP', [wire('{"event":"STOP"}')], 0);
    while (!existsSync(file) || !readFileSync(file, 'utf8').includes('STOP')) await setTimeout(20);
    assert.ok(log.audit.figures.transports[0]?.isUp);
    // What it failed with is lost, and counted.
    assert.equal(log.audit.figures.transports[0]?.lost, 1);
    await log.close();
    assert.ok(log.reports.some((report) => report.endsWith('loses audit records: it failed with them')));
    assert.ok(log.reports.some((report) => report.endsWith('takes audit records again; lost: 1')));
  });

  test('that takes nothing costs bounded memory, and its losses are counted', async (t) => {
    const folder = scratch(t);
    const target = join(folder, 'transport.cjs');
    writeFileSync(
      target,
      `const { Writable } = require('stream');
      module.exports = () => new Writable({ write() {} });`,
    );
    const path = join(folder, 'audit.log');
    const destinations = [
      { kind: 'file', path },
      { kind: 'transport', target, options: {} },
    ] as const;
    const log = await openTestLog(t, { destinations }, path);
    const long = wire(`{"event":"STOP","data":"${'x'.repeat(1024 * 1024)}"}`);
    for (let i = 0; i < 20; i++) {
      log.recorder.event('STOP', [long], 0);
      assert.equal(log.recorder.flush(), null);
      await setTimeout(1);
    }
    const lost = log.audit.figures.transports[0]?.lost ?? 0;
    assert.ok(lost >= 8 && lost <= 20, String(lost));
    assert.equal(log.reports.filter((report) => /loses audit records: it does not keep up/.test(report)).length, 1);
    // The end does not wait for it for ever, and says what is lost in all.
    await log.close();
    const [, count] = /did not get: (\d+)$/.exec(log.reports.at(-1) ?? '') ?? [];
    assert.ok(Number(count) >= 20, log.reports.at(-1));
  });

  test('is the module of the page: its receiver may be absent at first and go away, and gets every record', async (t) => {
    const folder = scratch(t);
    const page = readFileSync(new URL('../../../docs/how-to/audit-and-verify.md', import.meta.url), 'utf8');
    const [, code = ''] = /```js\n\/\/ http\.mjs[^\n]*\n([^`]+)```/.exec(page) ?? [];
    const target = join(folder, 'http.mjs');
    writeFileSync(target, code.replace('setTimeout(1000)', 'setTimeout(20)'));
    const port = await freePort();
    const got: string[] = [];
    const receive = () =>
      new Promise<Server>((resolve) => {
        const server = createServer((request, response) => {
          let body = '';
          request.setEncoding('utf8').on('data', (text: string) => {
            body += text;
          });
          request.on('end', () => {
            got.push(...body.split('\n').filter((line) => line !== ''));
            response.end();
          });
        }).listen(port, '127.0.0.1', () => {
          resolve(server);
        });
      });
    const path = join(folder, 'audit.log');
    const destinations = [
      { kind: 'file', path },
      { kind: 'transport', target, options: { url: `http://127.0.0.1:${port}/` } },
    ] as const;
    const log = await openTestLog(t, { chain: true, destinations }, path);
    const emit = async (name: string) => {
      for (let i = 0; i < 50; i++) {
        log.recorder.event(name, [wire(`{"event":"${name}"}`)], i);
        await setTimeout(1);
      }
    };
    const until = async (name: string) => {
      while (!got.some((line) => line.includes(name) && line.includes('"receivers":49'))) await setTimeout(10);
    };
    const stop = (server: Server) =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    await emit('ABSENT');
    const first = await receive();
    await until('ABSENT');
    await stop(first);
    await emit('AWAY');
    const second = await receive();
    await until('AWAY');
    await log.close();
    await stop(second);
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    assert.deepEqual(
      got.map((line) => line.slice(line.indexOf(',"audit":') + ',"audit":'.length, -1)),
      lines,
    );
    assert.equal(log.audit.figures.transports[0]?.lost, 0);
  });

  test('is found as a package beside qmpmux or among the global ones, also one that can only be imported', (t) => {
    const folder = scratch(t);
    const install = (name: string, manifest: object) => {
      const place = join(folder, 'node_modules', name);
      mkdirSync(place, { recursive: true });
      writeFileSync(join(place, 'package.json'), JSON.stringify({ name, ...manifest }));
      writeFileSync(join(place, 'it.mjs'), '');
      writeFileSync(join(place, 'it.cjs'), '');
      return place;
    };
    const required = install('qmpmux-test-required', { main: 'it.cjs' });
    const imported = install('qmpmux-test-imported', { exports: { '.': { import: { default: './it.mjs' } } } });
    assert.equal(transportFile('qmpmux-test-required', [folder]), join(required, 'it.cjs'));
    assert.equal(transportFile('qmpmux-test-imported', [folder]), join(imported, 'it.mjs'));
    assert.match(transportFile('pino-pretty', []), /pino-pretty/);
    assert.equal(transportFile('/a/b.mjs', []), '/a/b.mjs');
    assert.equal(transportFile('./b.mjs', []), join(process.cwd(), 'b.mjs'));
    assert.throws(() => transportFile('qmpmux-test-none', [folder]), /there is no package qmpmux-test-none/);
  });

  test('that does not exist is reported at the start', async (t) => {
    await assert.rejects(
      openTestLog(t, { destinations: [{ kind: 'transport', target: 'no-such-transport', options: {} }] }),
      {
        code: 'QMPMUX_AUDIT_OPEN',
        message: /no-such-transport/,
      },
    );
  });
});
