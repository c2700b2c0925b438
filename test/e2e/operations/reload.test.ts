import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startDaemon, startQmpmux } from '../../support/daemon/daemon.js';
import { DatagramReceiver } from '../../support/daemon/datagrams.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function client(target: string): Promise<RawClient> {
  const one = await RawClient.connect(target);
  await one.readLine();
  await one.write('{"execute":"qmp_capabilities"}');
  assert.equal(await one.readLine(), '{"return": {}}');
  return one;
}

async function ask(one: RawClient, command: string): Promise<string> {
  await one.write(`{"execute":"${command}"}`);
  return await one.readLine();
}

const monitor = (name: string, upstream: string, ...listen: readonly string[]): string =>
  `[monitor.${name}]\nupstream = "${upstream}"\nlisten = ${JSON.stringify(listen)}\n`;

/** What differs in a config of several parts. */
interface Change {
  readonly listen?: readonly string[];
  readonly upstream?: string;
  readonly monitorKeys?: string;
  readonly limits?: string;
  readonly rules?: string;
  readonly audit?: string;
  readonly auditKeys?: string;
  readonly metrics?: string;
  readonly more?: string;
}

/** Writes a file in one step, as a tool should. */
function put(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

async function until(what: () => boolean): Promise<void> {
  for (let tries = 0; !what(); tries++) {
    assert.ok(tries < 3000, 'not within half a minute');
    await pause(10);
  }
}

describe('a folder of configs that is watched', { skip: missing('qemu'), timeout: 120_000 }, () => {
  test('gains and loses VMs as files are written and removed, and clients of the others notice nothing', async (t) => {
    const folder = scratch(t);
    const configs = join(folder, 'conf.d');
    mkdirSync(configs);
    const [web, db] = [await startQemu(t, { name: 'web' }), await startQemu(t, { name: 'db' })];
    const daemon = startDaemon(t, ['--config-dir', configs, '--watch']);
    await daemon.logged((line) => line.msg === 'watching conf.d for changes');
    put(join(configs, 'web.toml'), monitor('web', web.monitor, `${folder}/web.mux`));
    assert.deepEqual(await daemon.ready(), [`unix:${folder}/web.mux`]);
    const one = await client(`${folder}/web.mux`);

    put(join(configs, 'db.toml'), monitor('db', db.monitor, `${folder}/db.mux`));
    assert.deepEqual(await daemon.ready(), [`unix:${folder}/db.mux`]);
    const two = await client(`${folder}/db.mux`);
    assert.equal(await ask(two, 'query-name'), '{"return": {"name": "db"}}');

    rmSync(join(configs, 'db.toml'));
    assert.equal((await two.readToEnd()).length, 0);
    assert.ok(!existsSync(`${folder}/db.mux`));
    assert.equal(await ask(one, 'query-name'), '{"return": {"name": "web"}}');
    const change = await daemon.logged((line) => JSON.stringify(line['changes'] ?? null) === '["removed: db"]');
    assert.equal(change.msg, 'config reloaded');
  });

  test('may be removed and made again', async (t) => {
    const folder = scratch(t);
    const configs = join(folder, 'conf.d');
    mkdirSync(configs);
    const qemu = await startQemu(t, { name: 'web' });
    put(join(configs, 'web.toml'), monitor('web', qemu.monitor, `${folder}/web.mux`));
    const daemon = startDaemon(t, ['--config-dir', configs, '--watch']);
    await daemon.ready();
    const one = await client(`${folder}/web.mux`);
    renameSync(configs, `${configs}.old`);
    await daemon.logged(({ msg }) => msg.startsWith('cannot watch the config folder'));
    // As it is not there, it cannot be read either, and all goes on.
    assert.equal(await ask(one, 'query-name'), '{"return": {"name": "web"}}');
    mkdirSync(configs);
    put(join(configs, 'web.toml'), monitor('web', qemu.monitor, `${folder}/web.mux`, `${folder}/new.mux`));
    await daemon.logged(({ msg }) => msg === 'the config folder exists again');
    await until(() => existsSync(`${folder}/new.mux`));
    put(join(configs, 'web.toml'), monitor('web', qemu.monitor, `${folder}/web.mux`));
    await until(() => !existsSync(`${folder}/new.mux`));
    assert.equal(await ask(one, 'query-name'), '{"return": {"name": "web"}}');
  });

  test('keeps what it has when a file is wrong, and says what is wrong and where', async (t) => {
    const folder = scratch(t);
    const configs = join(folder, 'conf.d');
    mkdirSync(configs);
    const qemu = await startQemu(t, { name: 'web' });
    const good = monitor('web', qemu.monitor, `${folder}/web.mux`);
    put(join(configs, 'web.toml'), good);
    const daemon = startDaemon(t, ['--config-dir', configs, '--watch']);
    await daemon.ready();
    const one = await client(`${folder}/web.mux`);
    const failed = (line: { readonly msg: string }) =>
      line.msg === 'cannot use the new config; the old one stays in effect';

    put(join(configs, 'other.toml'), '[monitor.other]\nupstream = 7\n');
    assert.match(
      (await daemon.logged(failed)).reason ?? '',
      /other\.toml:2: monitor\.other\.upstream: must be an address/,
    );
    put(join(configs, 'other.toml'), good);
    assert.match((await daemon.logged(failed)).reason ?? '', /web\.toml:1: monitor\.web: is in .*other\.toml already/);
    put(join(configs, 'other.toml'), monitor('other', `${folder}/nobody`, '/nowhere/mux'));
    assert.match((await daemon.logged(failed)).reason ?? '', /the folder \/nowhere does not exist/);
    put(join(configs, 'other.toml'), monitor('other', `${folder}/nobody`, `${folder}/web.mux`));
    assert.match((await daemon.logged(failed)).reason ?? '', /web\.mux is a listener of other already/);
    assert.equal(await ask(one, 'query-name'), '{"return": {"name": "web"}}');
    await (await client(`${folder}/web.mux`)).close();
  });
});

describe('SIGHUP', { skip: missing('qemu'), timeout: 120_000 }, () => {
  test('goes over to another number of clients for each user, and counts those anew who connect then', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { name: 'web' });
    const [file, mux] = [join(folder, 'config.toml'), `${folder}/web.mux`];
    const config = (most: number): string =>
      `[monitor.web]\nupstream = "${qemu.monitor}"\nlisten = [{ address = "${mux}", max-clients-per-uid = ${most} }]\n`;
    put(file, config(1));
    const daemon = startDaemon(t, ['--config', file]);
    await daemon.ready();
    const refused = async (): Promise<string> => (await (await RawClient.connect(mux)).readToEnd()).toString();
    const one = await client(mux);
    assert.match(await refused(), /has 1 connection on this socket already \(limit 1\)/);
    put(file, config(2));
    daemon.kill('SIGHUP');
    assert.equal((await one.readToEnd()).length, 0);
    const [two, three] = [await client(mux), await client(mux)];
    assert.match(await refused(), /has 2 connections on this socket already \(limit 2\)/);
    put(file, config(0));
    daemon.kill('SIGHUP');
    await Promise.all([two.readToEnd(), three.readToEnd()]);
    const many = await Promise.all([1, 2, 3, 4].map(() => client(mux)));
    for (const each of many) assert.match(await ask(each, 'query-name'), /"web"/);
  });

  test('that comes while the config is first read ends nothing, and has it read again', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { name: 'web' });
    // A pipe tells when it is being read, and keeps who reads it waiting.
    const pipe = join(folder, 'config');
    execFileSync('mkfifo', [pipe]);
    const daemon = startDaemon(t, ['--config', pipe]);
    const first = await openFile(pipe, 'w');
    daemon.kill('SIGUSR2');
    daemon.kill('SIGHUP');
    // What it is to read the second time.
    put(pipe, monitor('web', qemu.monitor, `${folder}/web.mux`, `${folder}/more.mux`));
    await first.writeFile(monitor('web', qemu.monitor, `${folder}/web.mux`));
    await first.close();
    await until(() => existsSync(`${folder}/more.mux`));
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  test('changes the sockets and rules of a monitor; only clients of what has changed are disconnected', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { name: 'web' });
    const file = join(folder, 'qmpmux.toml');
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder, name));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    const policy = (rules: string) => `[policy.some]\nrules = ${rules}\n`;
    put(file, monitor('web', qemu.monitor, a, `${b},policy=some`) + policy('["allow query-status"]'));
    const daemon = startDaemon(t, ['--config', file]);
    await daemon.ready();
    const [one, two] = [await client(a), await client(b)];
    assert.match(await ask(two, 'query-name'), /not allowed here/);

    put(file, monitor('web', qemu.monitor, a, `${b},policy=some`, c) + policy('["allow query-*"]'));
    daemon.kill('SIGHUP');
    await two.readToEnd();
    await until(() => existsSync(c));
    assert.equal(await ask(await client(b), 'query-name'), '{"return": {"name": "web"}}');
    assert.equal(await ask(one, 'query-name'), '{"return": {"name": "web"}}');
    const three = await client(c);

    put(file, monitor('web', qemu.monitor, a, `${b},policy=some`) + policy('["allow query-*"]'));
    daemon.kill('SIGHUP');
    await three.readToEnd();
    assert.ok(!existsSync(c));
    assert.equal(await ask(one, 'query-name'), '{"return": {"name": "web"}}');

    // Another QEMU: the monitor begins anew, its clients with it.
    const other = await startQemu(t, { name: 'other' });
    put(file, monitor('web', other.monitor, a));
    daemon.kill('SIGHUP');
    await one.readToEnd();
    await daemon.logged((line) => JSON.stringify(line['changes'] ?? null).includes('restarted: web'));
    await until(() => existsSync(a));
    assert.equal(await ask(await client(a), 'query-name'), '{"return": {"name": "other"}}');
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    assert.ok(!existsSync(a));
  });

  test('changes the settings of the audit log, in the same file or another, and no client notices', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { name: 'web' });
    const file = join(folder, 'qmpmux.toml');
    const mux = join(folder, 'mux');
    const [log, other] = [join(folder, 'audit.log'), join(folder, 'other.log')];
    const audited = (...lines: readonly string[]) =>
      `[audit]\n${lines.join('\n')}\n${monitor('web', qemu.monitor, mux)}`;
    put(file, audited(`to = "${log}"`, 'chain = true'));
    const daemon = startDaemon(t, ['--config', file]);
    await daemon.ready();
    const one = await client(mux);
    await ask(one, 'query-name');
    const changed = (line: { readonly msg: string }) => line.msg === 'config reloaded';

    put(file, audited(`to = "${log}"`, 'chain = true', 'without = ["reply"]'));
    daemon.kill('SIGHUP');
    await daemon.logged(changed);
    await ask(one, 'query-status');
    put(file, audited(`to = "${other}"`));
    daemon.kill('SIGHUP');
    await daemon.logged(changed);
    assert.match(await ask(one, 'query-status'), /^\{"return"/);
    put(file, monitor('web', qemu.monitor, mux));
    daemon.kill('SIGHUP');
    await daemon.logged(changed);
    assert.match(await ask(one, 'query-kvm'), /^\{"return"/);

    const records = (path: string) =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line): { kind: string; command?: string } => JSON.parse(line));
    const kinds = (path: string, command: string) =>
      records(path).filter((record) => record.command === command).length;
    assert.deepEqual([kinds(log, 'query-name'), kinds(log, 'query-status'), kinds(log, 'query-kvm')], [1, 1, 0]);
    assert.deepEqual([kinds(other, 'query-name'), kinds(other, 'query-status'), kinds(other, 'query-kvm')], [0, 1, 0]);
    assert.equal(records(log).filter(({ kind }) => kind === 'reply').length, 1);
    const verified = startQmpmux(t, ['audit', 'verify', log]);
    const { code } = await verified.exited;
    // The answer that was left out makes it a remark, not a problem.
    assert.ok(code === 0 || code === 1, verified.output);
    assert.doesNotMatch(verified.output, /: problem: /);
    await one.close();
  });

  test('carries out changes of every kind, and clients of the rest notice none of them', async (t) => {
    const folder = scratch(t);
    const configs = join(folder, 'conf.d');
    mkdirSync(configs);
    const [web, db, third] = [await startQemu(t), await startQemu(t), await startQemu(t)];
    const at = (name: string) => join(folder, name);
    put(join(configs, '1-web.toml'), monitor('web', web.monitor, at('web')));
    const config = (change: Change) => {
      const {
        listen = ['a', 'b'],
        upstream = db.monitor,
        monitorKeys = '',
        limits = '',
        rules = '"allow query-*"',
      } = change;
      const { audit = 'log', auditKeys = '', metrics = 'metrics', more = '' } = change;
      put(
        join(configs, '2-rest.toml'),
        `[audit]\nto = "${at(audit)}"\n${auditKeys}\n[metrics]\nlisten = "${at(metrics)}"\n[policy.some]\nrules = [${rules}]\n` +
          `[monitor.db]\nupstream = "${upstream}"\nlisten = [${listen.map((each) => `"${at(each)}"`).join()}]\n${monitorKeys}\n` +
          `[monitor.db.limits]\n${limits}\n${more}`,
      );
    };
    config({});
    const daemon = startDaemon(t, ['--config-dir', configs]);
    await daemon.ready();
    for (const name of ['web', 'a', 'b']) await until(() => existsSync(at(name)));
    // One on another VM, and one on another socket of the same.
    const [stranger, neighbour] = [await client(at('web')), await client(at('a'))];
    const added = `[monitor.new]\nupstream = "${third.monitor}"\nlisten = ["${at('new')}"]\n`;
    const steps: readonly (readonly [what: string, change: Change, neighbourStays?: false])[] = [
      ['a socket is added', { listen: ['a', 'b', 'c'] }],
      ['a socket is removed', { listen: ['a', 'c'] }],
      ['a socket gets another mode', { listen: ['a', 'c,mode=0660'] }],
      ['a socket gets a policy', { listen: ['a', 'c,mode=0660,policy=some'] }],
      ['the rules of that policy change', { listen: ['a', 'c,mode=0660,policy=some'], rules: '"allow query-name"' }],
      ['a socket gets other events', { listen: ['a', 'c,mode=0660,events=none'] }],
      ['a socket gets limits', { listen: ['a', 'c,mode=0660,max-clients=2,command-timeout=1s'] }],
      ['a socket gets owners', { listen: ['a', 'c,allow-uid=0'] }],
      ['a policy that nobody uses changes', { listen: ['a', 'c'], rules: '"deny *"' }],
      ['the audit log gets other settings', { listen: ['a', 'c'], auditKeys: 'chain = true' }],
      ['the audit log moves', { listen: ['a', 'c'], audit: 'other', auditKeys: 'chain = true' }],
      ['metrics move', { listen: ['a', 'c'], metrics: 'figures' }],
      ['a monitor is added', { listen: ['a', 'c'], metrics: 'figures', more: added }],
      ['a monitor is removed', { listen: ['a', 'c'], metrics: 'figures' }],
      ['a monitor gets other limits', { listen: ['a', 'c'], limits: 'output-cap = "64M"', metrics: 'figures' }, false],
      ['a monitor keeps its clients', { monitorKeys: 'keep-clients = true', metrics: 'figures' }, false],
      ['a monitor gets another upstream', { upstream: third.monitor, metrics: 'figures' }, false],
    ];
    let present = neighbour;
    for (const [what, change, neighbourStays] of steps) {
      config(change);
      daemon.kill('SIGHUP');
      const line = await daemon.logged(({ msg }) => /^config reloaded|^the config/.test(msg));
      assert.equal(line.msg, 'config reloaded', `${what}: ${line.reason}`);
      assert.match(await ask(stranger, 'query-status'), /^\{"return"/, what);
      if (neighbourStays === false) {
        await present.readToEnd();
        await until(() => existsSync(at('a')));
        present = await client(at('a'));
      }
      assert.match(await ask(present, 'query-status'), /^\{"return"/, what);
    }
    assert.ok(existsSync(at('figures')) && !existsSync(at('metrics')));
    assert.ok(!existsSync(at('new')));
    await daemon.stop();
  });

  test('lets a socket go from one monitor to another, from one that stays as from one that ends', async (t) => {
    const folder = scratch(t);
    const [web, db] = [await startQemu(t, { name: 'web' }), await startQemu(t, { name: 'db' })];
    const file = join(folder, 'qmpmux.toml');
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder, name));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    put(file, monitor('db', db.monitor, a) + monitor('web', web.monitor, b, c));
    const daemon = startDaemon(t, ['--config', file]);
    for (const place of [a, b, c]) await until(() => existsSync(place));
    const reload = async (text: string) => {
      put(file, text);
      daemon.kill('SIGHUP');
      await daemon.logged(({ msg }) => msg === 'config reloaded');
      await daemon.logged(({ msg }) => msg === 'accepting clients');
    };
    await reload(monitor('db', db.monitor, a, c) + monitor('web', web.monitor, b));
    assert.match(await ask(await client(c), 'query-name'), /"db"/);
    await reload(monitor('db', db.monitor, a, b, c));
    assert.match(await ask(await client(b), 'query-name'), /"db"/);
    assert.deepEqual(
      daemon.log.filter(({ level }) => level >= 40),
      [],
    );
    await daemon.stop();
  });

  test('is not needed to rotate the audit log: SIGUSR2 leaves the config alone, however it stands', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const file = join(folder, 'qmpmux.toml');
    const [mux, log] = [join(folder, 'mux'), join(folder, 'audit.log')];
    const config = `[audit]\nto = "${log}"\n${monitor('web', qemu.monitor, mux)}`;
    put(file, config);
    const daemon = startDaemon(t, ['--config', file]);
    await daemon.ready();
    put(file, monitor('web', qemu.monitor, join(folder, 'other')));
    renameSync(log, `${log}.1`);
    daemon.kill('SIGUSR2');
    await until(() => existsSync(log));
    assert.match(await ask(await client(mux), 'query-status'), /^\{"return"/);
    assert.ok(!existsSync(join(folder, 'other')));
    daemon.kill('SIGHUP');
    await daemon.logged(({ msg }) => msg === 'config reloaded');
    await until(() => existsSync(join(folder, 'other')));
    await daemon.stop();
  });

  test('leaves the audit log as it is when another one cannot be written', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { name: 'web' });
    const file = join(folder, 'qmpmux.toml');
    const mux = join(folder, 'mux');
    const log = join(folder, 'audit.log');
    const audited = (...lines: readonly string[]) =>
      `[audit]\n${lines.join('\n')}\nchain = true\n${monitor('web', qemu.monitor, mux)}`;
    put(file, audited(`to = "${log}"`));
    const daemon = startDaemon(t, ['--config', file]);
    await daemon.ready();
    const one = await client(mux);
    for (const to of ['"/nowhere/audit.log"', `["${log}", "transport:no-such-transport"]`]) {
      put(file, audited(`to = ${to}`));
      daemon.kill('SIGHUP');
      await daemon.logged((line) => line.msg === 'cannot use the new config; the old one stays in effect');
      assert.match(await ask(one, 'query-name'), /"web"/);
    }
    await one.close();
    await daemon.stop();
    const actions = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line): { kind: string; action?: string; command?: string } => JSON.parse(line))
      .filter(({ kind, command }) => kind === 'daemon' || command === 'query-name')
      .map(({ kind, action }) => action ?? kind);
    // In the same file the log ends, and goes on.
    assert.deepEqual(actions, ['start', 'command', 'stop', 'reload', 'command', 'stop']);
    const verified = startQmpmux(t, ['audit', 'verify', log]);
    assert.deepEqual((await verified.exited).code, 0, verified.output);
  });

  test('is told to the service manager, with the time, and with what is wrong as long as it is', {
    skip: missing('socat'),
  }, async (t) => {
    const folder = scratch(t);
    const file = join(folder, 'qmpmux.toml');
    put(file, monitor('web', join(folder, 'q'), join(folder, 'mux')));
    const manager = await DatagramReceiver.open(t, join(folder, 'notify'));
    const daemon = startDaemon(t, ['--config', file], { NOTIFY_SOCKET: join(folder, 'notify') });
    await manager.until(/READY=1/);
    daemon.kill('SIGHUP');
    await manager.until(/RELOADING=1\nMONOTONIC_USEC=\d+.*READY=1/s);
    const told = Number(/MONOTONIC_USEC=(\d+)/.exec(manager.text)?.[1]);
    const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
    assert.ok(told / 1e6 <= uptime + 1 && told > 0);

    put(file, monitor('web', 'nonsense:', join(folder, 'mux')));
    daemon.kill('SIGHUP');
    await manager.until(/READY=1\nSTATUS=the changed config is not used: .*qmpmux\.toml:2: .*; web: waiting for QEMU/);
    put(file, monitor('web', join(folder, 'q'), join(folder, 'mux')));
    daemon.kill('SIGHUP');
    await manager.until(/not used(.|\n)*READY=1\nSTATUS=web: waiting for QEMU/);
    assert.equal(manager.text.match(/RELOADING=1/g)?.length, 3);
    await daemon.stop();
  });
});

describe('qmpmux config check', () => {
  test('says what a config does, or what is wrong with it', async (t) => {
    const folder = scratch(t);
    const file = join(folder, 'a.toml');
    writeFileSync(file, monitor('web', '/run/web.qmp', '/run/web.mux', '/run/ro.mux,policy=read-only'));
    const check = async (path: string): Promise<readonly [number | null, string]> => {
      const run = startQmpmux(t, ['config', 'check', path]);
      const { code } = await run.exited;
      return [code, run.output + run.errors];
    };
    const told = 'web: unix:/run/web.qmp is served at unix:/run/web.mux unix:/run/ro.mux\n';
    assert.deepEqual(await check(file), [0, told]);
    assert.deepEqual(await check(folder), [0, told]);
    writeFileSync(join(folder, 'b.toml'), monitor('b', '/run/web.qmp', '/run/b.mux'));
    const [code, text] = await check(folder);
    assert.equal(code, 78);
    assert.match(text, /b\.toml:2: monitor\.b\.upstream: unix:\/run\/web\.qmp is the upstream of web already/);
    writeFileSync(join(folder, 'b.toml'), monitor('b', '/run/b.qmp', '/run/b.mux,policy=/nowhere/rules'));
    assert.equal((await check(folder))[0], 78);
    assert.equal((await check(join(folder, 'none.toml')))[0], 78);
  });
});

test('qmpmux serve --check says what a command line would serve, and serves nothing', async (t) => {
  const folder = scratch(t);
  const check = async (...args: readonly string[]): Promise<readonly [number | null, string]> => {
    const run = startDaemon(t, [...args, '--check']);
    const { code } = await run.exited;
    return [code, run.output + run.errors];
  };
  const mux = join(folder, 'vm.mux');
  assert.deepEqual(await check('--upstream', '/run/vm.qmp', '--listen', mux), [
    0,
    `vm: unix:/run/vm.qmp is served at unix:${mux}\n`,
  ]);
  assert.ok(!existsSync(mux));
  const file = join(folder, 'a.toml');
  writeFileSync(file, monitor('web', '/run/web.qmp', mux));
  assert.deepEqual(await check('--config', file), [0, `web: unix:/run/web.qmp is served at unix:${mux}\n`]);
  writeFileSync(file, monitor('web', '/run/web.qmp', `${mux},policy=/nowhere/rules`));
  const [code, text] = await check('--config', file);
  assert.equal(code, 78);
  assert.match(text, /\/nowhere\/rules: cannot read this policy/);
  assert.equal((await check('--upstream', '/run/vm.qmp'))[0], 64);
});
