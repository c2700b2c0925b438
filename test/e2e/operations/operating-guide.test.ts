/** What docs/how-to/operating.md and share-one-vm.md offer for pasting works as it stands, but for the paths. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../../../dist/daemon/config/config-file.js';
import { parseRule } from '../../../dist/mux/policy/policy-rule.js';
import { startDaemon, startQmpmux } from '../../support/daemon/daemon.js';
import { startProgram } from '../../support/daemon/program.js';
import { missing, qemuProgram } from '../../support/daemon/programs.js';
import { scratch } from '../../support/files/scratch.js';
import { startLibvirt } from '../../support/libvirt/libvirt.js';
import { RawClient } from '../../support/world/raw-client.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const guide = ['operating.md', 'share-one-vm.md']
  .map((name) => readFileSync(join(root, 'docs/how-to', name), 'utf8'))
  .join('\n');

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});

function block(language: string): string {
  const text = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'm').exec(guide)?.[1];
  assert.ok(text !== undefined, `a block of ${language}`);
  return text;
}

describe("the operator's guide", { timeout: 120_000 }, () => {
  test("has a command line of QEMU's and a config that share a VM", { skip: missing('qemu') }, async (t) => {
    const folder = scratch(t);
    const here = (text: string) => text.replaceAll('/run/qmpmux/qemu', folder).replaceAll('/run/qmpmux', folder);
    startProgram(t, 'sh', '-c', here(block('sh')).replace('qemu-system-x86_64', `exec ${qemuProgram}`));
    const config = here(block('toml'))
      .replaceAll('/var/log/qmpmux', folder)
      .replaceAll(', group = "qmpmux-clients"', '')
      .replaceAll(/allow-uid = \["\w+"\]/g, `allow-uid = [${process.getuid?.() ?? 0}]`)
      .replace(':9177', ':0');
    assert.ok(parseConfig(block('toml'), 'guide').monitors.length === 1);
    writeFileSync(join(folder, 'web1.toml'), config);
    const daemon = startDaemon(t, ['--config', join(folder, 'web1.toml')]);
    assert.deepEqual(
      await daemon.ready(),
      ['web1.mux', 'web1.exporter', 'web1.backup', 'web1.ctl'].map((name) => `unix:${folder}/${name}`),
    );
    for (const [name, command, answer] of [
      ['web1.mux', 'stop', /^\{"return"/],
      ['web1.exporter', 'query-block', /^\{"return"/],
      ['web1.exporter', 'stop', /not allowed here/],
      ['web1.backup', 'query-block', /^\{"return"/],
      ['web1.backup', 'blockdev-backup', /is missing/],
      ['web1.backup', 'object-add', /not allowed here/],
    ] as const) {
      const client = await RawClient.connect(join(folder, name));
      await client.readLine();
      await client.write(`{"execute":"qmp_capabilities"}{"execute":"${command}"}`);
      await client.readLine();
      let line = await client.readLine();
      while (line.startsWith('{"timestamp"')) line = await client.readLine();
      assert.match(line, answer, `${name}: ${command}`);
      await client.close();
    }
    const plugin = startQmpmux(t, ['status', '--check', join(folder, 'web1.ctl')]);
    assert.equal((await plugin.exited).code, 0);
    assert.match(plugin.output, /^QMPMUX OK - web1: QEMU /);
  });

  test('quotes, of what is seen when something is wrong, what qmpmux says', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
      .join('\n');
    const rows = [...guide.matchAll(/^\| (.*) \| .* \|$/gm)].map((match) => match[1] ?? '').slice(2);
    assert.ok(rows.length > 15);
    for (const quoted of rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''))) {
      if (/^(Watchdog timeout|oom-kill|EACCES|read-only file system)$/.test(quoted)) continue; // systemd and Node say that
      assert.ok(sources.includes(quoted), quoted);
    }
  });

  test('has a domain that libvirt takes', { skip: missing('virt-xml-validate', 'xmllint') }, (t) => {
    const file = join(scratch(t), 'web1.xml');
    writeFileSync(file, block('xml'));
    const { status, stdout, stderr } = spawnSync('virt-xml-validate', [file, 'domain'], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });

  test('has a domain whose second monitor qmpmux shares, while libvirt has the first', { skip }, async (t) => {
    const folder = join(libvirt.folder, 'vm');
    // Whoever runs the tests may not have KVM.
    const xml = block('xml').replaceAll('/run/qmpmux/qemu', folder).replace("type='kvm'", "type='qemu'");
    const file = join(scratch(t), 'web1.xml');
    writeFileSync(file, xml);
    await libvirt.virsh('define', file);
    t.after(async () => {
      await libvirt.virsh('destroy', 'web1').catch(() => null);
      await libvirt.virsh('undefine', 'web1');
    });
    await libvirt.virsh('start', '--paused', 'web1');
    const mux = join(scratch(t), 'web1.mux');
    const daemon = startDaemon(t, ['--upstream', join(folder, 'web1.qmp'), '--listen', mux]);
    await daemon.ready();
    const [one, two] = [await RawClient.connect(mux), await RawClient.connect(mux)];
    for (const client of [one, two]) {
      await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name"}');
      await client.readLine();
      await client.readLine();
      assert.equal(await client.readLine(), '{"return": {"name": "web1"}}');
    }
    assert.equal(await libvirt.virsh('domstate', 'web1'), 'paused');
    await libvirt.virsh('resume', 'web1');
    assert.match(await one.readLine(), /"event": "RESUME"/);
    assert.equal(await libvirt.virsh('domstate', 'web1'), 'running');
  });

  test('has a rule against monitors made at run time that is one', () => {
    const rule = /`(deny @monitors[^`]*)`/.exec(guide)?.[1] ?? '';
    assert.ok(!('problem' in parseRule(rule)), rule);
  });
});
