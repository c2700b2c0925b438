import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { blockage } from '../../support/daemon/blockage.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { freePort } from '../../support/daemon/free-port.js';
import { startProgram } from '../../support/daemon/program.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const shipped = (file: string): string => readFileSync(join(root, 'docs', file), 'utf8');

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function ask(socketPath: string, path = '/metrics', method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text });
      });
    });
    asked.once('error', reject);
    asked.end();
  });
}

/** The value of one series, written as Prometheus writes it. */
function value(text: string, series: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  assert.ok(line !== undefined, `no ${series} in\n${text}`);
  return Number(line.slice(series.length + 1));
}

async function client(target: string): Promise<RawClient> {
  const one = await RawClient.connect(target);
  await one.readLine();
  await one.write('{"execute":"qmp_capabilities"}');
  await one.readLine();
  return one;
}

interface Watched {
  readonly socket: string;
  readonly mux: string;
  readonly daemon: ReturnType<typeof startDaemon>;
  readonly kill: () => Promise<void>;
  /** The paths of further listeners. */
  readonly more: readonly string[];
}

async function watched(scope: Scope, ...more: readonly string[]): Promise<Watched> {
  const folder = scratch(scope);
  const qemu = await startQemu(scope);
  const socket = join(folder, 'metrics');
  const mux = join(folder, 'mux');
  const daemon = startDaemon(scope, [
    '--upstream',
    qemu.monitor,
    '--listen',
    mux,
    '--name',
    'vm',
    '--metrics',
    socket,
    ...more,
  ]);
  await daemon.ready();
  const listen = more.filter((_, index) => more[index - 1] === '--listen').map((word) => word.split(',')[0] ?? '');
  return { socket, mux, daemon, kill: () => qemu.kill(), more: listen };
}

describe('metrics', { skip: missing('qemu') }, () => {
  test('count what clients do, by names that QEMU knows', async (t) => {
    const { socket, mux, kill, daemon } = await watched(t);
    assert.equal(statSync(socket).mode & 0o777, 0o600);
    const one = await client(mux);
    const two = await client(mux);
    for (const text of [
      '{"execute":"query-status"}',
      '{"execute":"query-version"}',
      '{"execute":"query-version"}',
      '{"execute":"nonsense"}',
      '{"execute":"device_del","arguments":{"id":"x"}}',
      '{]',
    ]) {
      await one.write(text);
      await one.readLine();
    }
    await two.close();
    let { text } = await ask(socket);
    const listener = `monitor="vm",listener="unix:${mux}"`;
    assert.equal(value(text, `qmpmux_connections_total{${listener}}`), 2);
    // The daemon may not have read yet that the second one is gone.
    for (let tries = 0; tries < 1000 && value(text, `qmpmux_clients{${listener}}`) !== 1; tries++) {
      ({ text } = await ask(socket));
    }
    assert.equal(value(text, `qmpmux_clients{${listener}}`), 1);
    assert.equal(value(text, 'qmpmux_disconnects_total{monitor="vm",reason="client"}'), 1);
    assert.equal(value(text, 'qmpmux_commands_total{monitor="vm",command="query-status",outcome="ok"}'), 1);
    assert.equal(value(text, 'qmpmux_commands_total{monitor="vm",command="query-version",outcome="ok"}'), 2);
    assert.equal(value(text, 'qmpmux_commands_total{monitor="vm",command="device_del",outcome="error"}'), 1);
    assert.equal(value(text, 'qmpmux_commands_total{monitor="vm",command="other",outcome="error"}'), 1);
    assert.ok(!text.includes('nonsense'));
    assert.ok(value(text, 'qmpmux_malformed_total{monitor="vm"}') >= 1);
    assert.equal(value(text, 'qmpmux_replies_total{monitor="vm",source="cached"}'), 1);
    assert.equal(value(text, 'qmpmux_command_upstream_seconds_count{monitor="vm"}'), 4);
    assert.equal(value(text, 'qmpmux_command_upstream_seconds_bucket{le="+Inf",monitor="vm"}'), 4);
    assert.ok(value(text, 'qmpmux_command_upstream_seconds_sum{monitor="vm"}') > 0);
    assert.equal(value(text, 'qmpmux_upstream_up{monitor="vm"}'), 1);
    const sent = '{"execute":"qmp_capabilities"}'.length * 2;
    assert.ok(value(text, 'qmpmux_bytes_total{monitor="vm",side="client",direction="in"}') > sent);
    assert.ok(value(text, 'qmpmux_bytes_total{monitor="vm",side="qemu",direction="out"}') > 100);
    assert.equal(value(text, 'qmpmux_inflight_commands{monitor="vm"}'), 0);

    await kill();
    await daemon.logged((line) => line.msg.startsWith('lost QEMU'));
    ({ text } = await ask(socket));
    assert.equal(value(text, 'qmpmux_upstream_up{monitor="vm"}'), 0);
    assert.equal(value(text, 'qmpmux_upstream_losses_total{monitor="vm"}'), 1);
    assert.equal(value(text, 'qmpmux_disconnects_total{monitor="vm",reason="upstream"}'), 1);
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    await assert.rejects(ask(socket), { code: 'ENOENT' });
  });

  test('tell what waits, since when, and what is refused', async (t) => {
    const busy = await blockage(t);
    const { socket, mux, more } = await watched(t, '--listen', `${join(scratch(t), 'ro')},policy=read-only`);
    const [one, two] = [await client(mux), await client(mux)];
    await one.write(`{${busy.members}}`);
    await busy.begun;
    // All that QEMU is given at a time, and more behind it.
    for (const waiting of [one, two]) await waiting.write('{"execute":"device_del","arguments":{"id":"x"}}'.repeat(20));
    let text = '';
    const until = async (isSo: () => boolean) => {
      for (let tries = 0; ; tries++) {
        ({ text } = await ask(socket));
        if (isSo()) return;
        assert.ok(tries < 3000, text);
        await pause(10);
      }
    };
    const inFlight = () => value(text, 'qmpmux_inflight_commands{monitor="vm"}');
    const waiting = () => value(text, 'qmpmux_queued_commands{monitor="vm"}');
    await until(() => waiting() + inFlight() === 41);
    assert.ok(inFlight() > 0 && inFlight() <= 7);
    const age = value(text, 'qmpmux_inflight_age_seconds{monitor="vm"}');
    assert.ok(age > 0);
    await until(() => value(text, 'qmpmux_inflight_age_seconds{monitor="vm"}') > age);
    busy.release();
    await until(() => waiting() + inFlight() === 0);
    assert.equal(value(text, 'qmpmux_inflight_age_seconds{monitor="vm"}'), 0);
    assert.equal(value(text, 'qmpmux_commands_total{monitor="vm",command="device_del",outcome="error"}'), 40);
    // The last of them waited for the first.
    assert.ok(value(text, 'qmpmux_command_wait_seconds_sum{monitor="vm"}') >= age);
    assert.equal(value(text, 'qmpmux_command_wait_seconds_count{monitor="vm"}'), 41);

    const limited = await client(more[0] ?? '');
    await limited.write('{"execute":"quit"}');
    await limited.readLine();
    await until(() => text.includes('outcome="denied"'));
    assert.equal(value(text, `qmpmux_denials_total{monitor="vm",listener="unix:${more[0]}"}`), 1);
    for (const lag of ['nodejs_eventloop_lag_seconds', 'nodejs_eventloop_lag_p99_seconds']) {
      assert.ok(value(text, lag) >= 0);
    }
  });

  test('tell clients that are gone by why: their own end, a limit, another config', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const config = join(folder, 'vm.toml');
    const socket = join(folder, 'metrics');
    const mux = join(folder, 'mux');
    const put = (policy: string) =>
      writeFileSync(
        config,
        `[metrics]\nlisten = "${socket}"\n[monitor.vm]\nupstream = "${qemu.monitor}"\nlisten = ["${mux},policy=${policy}"]\n[monitor.vm.limits]\nnegotiation-time = "2s"\n`,
      );
    put('full');
    const daemon = startDaemon(t, ['--config', config]);
    await daemon.ready();
    await (await client(mux)).close();
    const silent = await RawClient.connect(mux);
    await silent.readToEnd();
    const stays = await client(mux);
    put('read-only');
    daemon.kill('SIGHUP');
    await stays.readToEnd();
    for (let tries = 0; ; tries++) {
      const { text } = await ask(socket);
      const gone = [...text.matchAll(/^qmpmux_disconnects_total\{monitor="vm",reason="(\w+)"\} (\d+)$/gm)];
      const reasons = Object.fromEntries(gone.map(([, reason = '', count]) => [reason, Number(count)]));
      if (Object.keys(reasons).length === 3 || tries === 1000) {
        assert.deepEqual(reasons, { client: 1, unnegotiated: 1, config: 1 });
        break;
      }
      await pause(10);
    }
  });

  test('tell that the audit log cannot be written, and how many commands were refused for it', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const socket = join(folder, 'metrics');
    const mux = join(folder, 'mux');
    const args = ['--upstream', qemu.monitor, '--listen', mux, '--name', 'vm', '--metrics', socket];
    // A file that may not grow beyond 8 KiB, and a program that is not killed for trying.
    const narrow = ['sh', '-c', 'trap "" XFSZ; ulimit -f 16; exec "$@"', 'sh'];
    const daemon = startDaemon(t, [...args, '--audit', join(folder, 'audit')], {}, narrow);
    await daemon.ready();
    let { text } = await ask(socket);
    assert.equal(value(text, 'qmpmux_audit_failing'), 0);
    assert.equal(value(text, 'qmpmux_audit_errors_total'), 0);
    const one = await client(mux);
    let answer = '';
    for (let tries = 0; !answer.includes('cannot record'); tries++) {
      assert.ok(tries < 200, answer);
      await one.write('{"execute":"query-status"}');
      answer = await one.readLine();
    }
    ({ text } = await ask(socket));
    assert.equal(value(text, 'qmpmux_audit_failing'), 1);
    assert.ok(value(text, 'qmpmux_audit_errors_total') >= 1);
    assert.ok(value(text, 'qmpmux_audit_refused_commands_total') >= 1);
    assert.ok(value(text, 'qmpmux_audit_last_record') > 1);
  });

  test('are at /metrics, and nothing can be sent there', async (t) => {
    const { socket } = await watched(t);
    const answer = await ask(socket);
    assert.equal(answer.status, 200);
    assert.match(answer.type, /^text\/plain; version=0\.0\.4/);
    assert.equal((await ask(socket, '/')).status, 404);
    assert.equal((await ask(socket, '/metrics', 'POST')).status, 405);
    assert.equal((await ask(socket, '/metrics?x=1', 'HEAD')).text, '');
  });

  test('are not listened for where a socket cannot be made', async (t) => {
    const folder = scratch(t);
    const daemon = startDaemon(t, [
      '--upstream',
      join(folder, 'q'),
      '--listen',
      join(folder, 'm'),
      '--metrics',
      '/nowhere/metrics',
    ]);
    assert.deepEqual(await daemon.exited, { code: 69, signal: null });
    assert.match(daemon.errors, /\/nowhere\/metrics: the folder \/nowhere does not exist/);
  });

  test('are all in the documentation, and the dashboard and the alerts ask for none that is not there', async (t) => {
    const { socket, mux } = await watched(t, '--audit', join(scratch(t), 'audit'));
    const one = await client(mux);
    await one.write('{"execute":"query-status"}');
    await one.readLine();
    const { text } = await ask(socket);
    const present = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1] ?? ''));
    const ours = [...present].filter((name) => name.startsWith('qmpmux_')).sort();
    const documented = [...shipped('reference/metrics.md').matchAll(/^\| `(qmpmux_\w+)` \|/gm)]
      .map((match) => match[1] ?? '')
      .sort();
    assert.deepEqual(documented, ours);
    for (const file of ['monitoring/dashboard.json', 'monitoring/alerts.yml']) {
      const asked = [...shipped(file).matchAll(/\b((?:qmpmux|nodejs|process)_\w+)(?=[{ )[\\])/g)].map(
        (match) => match[1] ?? '',
      );
      assert.ok(asked.length > 8);
      for (const name of asked) {
        assert.ok(
          present.has(name) || present.has(name.replace(/_(bucket|sum|count)$/, '')),
          `${file} asks for ${name}`,
        );
      }
    }
    assert.doesNotThrow(() => JSON.parse(shipped('monitoring/dashboard.json')));
  });
});

describe("Prometheus' own tools", { skip: missing('qemu', 'promtool', 'prometheus') }, () => {
  test('promtool finds no fault with the metrics, the alerts and their tests', async (t) => {
    const { socket } = await watched(t);
    const { text } = await ask(socket);
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    const told = checked.stderr.split('\n').filter((line) => line.startsWith('qmpmux'));
    assert.deepEqual(told, []);

    const folder = scratch(t);
    copyFileSync(join(root, 'docs/monitoring/alerts.yml'), join(folder, 'alerts.yml'));
    copyFileSync(join(root, 'test/monitoring/alerts.yml'), join(folder, 'tests.yml'));
    for (const args of [
      ['check', 'rules', 'alerts.yml'],
      ['test', 'rules', 'tests.yml'],
    ]) {
      const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: folder, encoding: 'utf8' });
      assert.equal(status, 0, stdout + stderr);
    }
  });

  test('Prometheus scrapes a daemon and answers every question of the dashboard', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const [metrics, web] = [await freePort(), await freePort()];
    const mux = join(folder, 'mux');
    const daemon = startDaemon(t, [
      '--upstream',
      qemu.monitor,
      '--listen',
      mux,
      '--name',
      'vm',
      '--metrics',
      `tcp:127.0.0.1:${metrics}`,
    ]);
    await daemon.ready();
    const one = await client(mux);
    await one.write('{"execute":"query-status"}');
    await one.readLine();
    copyFileSync(join(root, 'docs/monitoring/alerts.yml'), join(folder, 'alerts.yml'));
    writeFileSync(
      join(folder, 'prometheus.yml'),
      `global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [alerts.yml]
scrape_configs:
  - job_name: qmpmux
    static_configs: [{ targets: ['127.0.0.1:${metrics}'] }]
`,
    );
    startProgram(
      t,
      'prometheus',
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${web}`,
    );
    const query = async (expression: string): Promise<QueryAnswer> => {
      const url = `http://127.0.0.1:${web}/api/v1/query?query=${encodeURIComponent(expression)}`;
      try {
        const response = await fetch(url);
        // the shape is Prometheus' promise
        return (await response.json()) as QueryAnswer;
      } catch {
        return { status: 'not there yet' };
      }
    };
    const wanted = 'qmpmux_commands_total{job="qmpmux",monitor="vm",command="query-status",outcome="ok"}';
    let found: QueryAnswer = await query(wanted);
    for (let tries = 0; (found.data?.result.length ?? 0) === 0; tries++) {
      assert.ok(tries < 600, 'Prometheus has scraped nothing within a minute');
      await pause(100);
      found = await query(wanted);
    }
    assert.equal(found.data?.result[0]?.value[1], '1');
    const dashboard: Dashboard = JSON.parse(shipped('monitoring/dashboard.json'));
    for (const { expr } of dashboard.panels.flatMap((panel) => panel.targets)) {
      const expression = expr
        .replaceAll('$__rate_interval', '1m')
        .replaceAll('"$monitor"', '".*"')
        .replaceAll('"$instance"', '".*"');
      assert.equal((await query(expression)).status, 'success', expression);
    }
    // And evaluates every alert: none fires for a daemon that is well, and that QEMU is gone it sees.
    const alerts = async (): Promise<readonly Alert[]> => {
      const response = await fetch(`http://127.0.0.1:${web}/api/v1/rules`);
      // the same
      const { data } = (await response.json()) as { data: { groups: readonly { rules: readonly Alert[] }[] } };
      return data.groups.flatMap(({ rules }) => rules);
    };
    const until = async (isSo: (all: readonly Alert[]) => boolean) => {
      for (let tries = 0; ; tries++) {
        const all = await alerts();
        if (isSo(all)) return;
        assert.ok(tries < 600, JSON.stringify(all));
        await pause(100);
      }
    };
    await until((all) => all.length >= 9 && all.every(({ health, state }) => health === 'ok' && state !== 'firing'));
    await qemu.kill();
    await until((all) => all.some(({ name, state }) => name === 'QmpmuxUpstreamDown' && state === 'pending'));
  });
});

interface Alert {
  readonly name: string;
  readonly health: string;
  readonly state: string;
}

interface Dashboard {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
}

interface QueryAnswer {
  readonly status: string;
  readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}
