import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { scratch } from '../../support/files/scratch.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

function run(cwd: string, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 180_000 });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

test('the npm package runs, and can be imported with its types, where nothing else is installed', {
  timeout: 400_000,
}, async (t) => {
  const folder = scratch(t);
  run(root, process.execPath, 'packaging/shipped.mjs');
  run(root, 'npm', 'pack', '--ignore-scripts', '--pack-destination', folder);
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  const listed = run(folder, 'tar', '-tzf', archive)
    .trim()
    .split('\n')
    .map((path) => path.replace(/^package\//, ''));
  const odd = listed.filter(
    (path) =>
      !/^(bin|completions|dist|man|systemd|docs|libvirt)\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(
        path,
      ),
  );
  assert.deepEqual(odd, []);
  // What it is made of: by name, with the texts of licences, as some of the code is in the bundle.
  for (const path of [
    'systemd/qmpmux@.service',
    'docs/images/session.svg',
    'docs/start.md',
    'docs/monitoring/alerts.yml',
    'docs/monitoring/dashboard.json',
    'dist/sbom.cdx.json',
    'dist/licences.txt',
    'man/qmpmux.1',
    'man/qmpmux-exec.1',
    'man/qmpmux.toml.5',
    'completions/_qmpmux',
    'completions/qmpmux.bash',
  ]) {
    assert.ok(listed.includes(path), path);
  }
  const bill: { metadata: { component: { name: string } }; components: { name: string }[] } = JSON.parse(
    readFileSync(join(root, 'dist/sbom.cdx.json'), 'utf8'),
  );
  assert.equal(bill.metadata.component.name, 'qmpmux');
  const parts = new Set(bill.components.map(({ name }) => name));
  const licences = readFileSync(join(root, 'dist/licences.txt'), 'utf8');
  const licensed = [...licences.matchAll(/^(\S+) \d+\.\d+\.\d+\S* \([\w .-]+\)\n\n\S/gm)].map(
    (match) => match[1] ?? '',
  );
  assert.ok(licensed.includes('pino'));
  assert.deepEqual(new Set(licensed), parts);
  const { dependencies }: { dependencies: Record<string, string> } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  for (const name of Object.keys(dependencies)) assert.ok(parts.has(name), `${name} is in the bill`);
  assert.ok(!listed.some((path) => /\.(map|tsbuildinfo)$|\.test\./.test(path)));
  // Nor what makes the manual.
  assert.ok(!listed.some((path) => /manual-pages|command-tables/.test(path)));

  const empty = join(folder, 'empty');
  mkdirSync(empty);
  writeFileSync(join(empty, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }');
  run(empty, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', join('..', archive));
  assert.match(run(empty, 'node_modules/.bin/qmpmux', '--version'), /^qmpmux \d+\.\d+\.\d+\n$/);
  writeFileSync(join(empty, 'config.toml'), '[monitor.vm]\nupstream = "/run/vm.qmp"\nlisten = ["/run/vm.mux"]\n');
  assert.match(run(empty, 'node_modules/.bin/qmpmux', 'config', 'check', 'config.toml'), /^vm: unix:\/run\/vm\.qmp/);

  writeFileSync(
    join(empty, 'use.mts'),
    "import { QmpClient } from 'qmpmux';\nconst made: unknown = QmpClient;\nif (typeof made !== 'function') throw new Error('no class');\n",
  );
  run(
    root,
    'node_modules/.bin/tsc',
    '--ignoreConfig',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
    '--typeRoots',
    join(root, 'node_modules/@types'),
    join(empty, 'use.mts'),
  );
  run(empty, process.execPath, 'use.mjs');
  run(root, 'node_modules/.bin/publint', '--strict', join(folder, archive));
  const types = await checkPackage(createPackageFromTarballData(readFileSync(join(folder, archive))));
  assert.ok(types.types !== false);
  // Node 20.19 can require() ES modules, and what resolves as Node 10 did knows no "exports".
  const wrong = types.problems.filter(
    (problem) =>
      problem.kind !== 'CJSResolvesToESM' && !('resolutionKind' in problem && problem.resolutionKind === 'node10'),
  );
  assert.deepEqual(wrong, []);
});

test('what the package is made of is told without npm, of which older ones cannot', (t) => {
  const folder = scratch(t);
  const before = readFileSync(join(root, 'dist/sbom.cdx.json'), 'utf8');
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'packaging/shipped.mjs')], {
    encoding: 'utf8',
    env: { PATH: folder },
  });
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(join(root, 'dist/sbom.cdx.json'), 'utf8'), before);
  const bill: {
    bomFormat: string;
    components: { 'bom-ref': string; purl: string; hashes: { alg: string; content: string }[] }[];
    dependencies: { ref: string; dependsOn: string[] }[];
  } = JSON.parse(before);
  assert.equal(bill.bomFormat, 'CycloneDX');
  const known = new Set(bill.components.map((component) => component['bom-ref']));
  for (const { purl, hashes } of bill.components) {
    assert.match(purl, /^pkg:npm\/(%40[\w.-]+\/)?[\w.-]+@\d/);
    assert.match(hashes[0]?.content ?? '', /^[0-9a-f]{128}$/);
  }
  for (const { dependsOn } of bill.dependencies) for (const one of dependsOn) assert.ok(known.has(one), one);
  assert.ok((bill.dependencies.find(({ ref }) => ref.startsWith('qmpmux@'))?.dependsOn.length ?? 0) > 5);
});

test('each package that is shipped takes the oldest Node that qmpmux takes, so npm warns of none', () => {
  const { packages }: { packages: Record<string, { dev?: boolean; engines?: { node?: string } }> } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  );
  /** Whether one choice of a range (`>=18`, `^20.19.0`) takes 20.19. */
  const takes = (choice: string): boolean => {
    const [, sign = '', major = '', minor = '0'] = /^(>=|\^)\s*v?(\d+)(?:\.(\d+))?/.exec(choice.trim()) ?? [];
    const isOldEnough = Number(major) < 20 || (Number(major) === 20 && Number(minor) <= 19);
    return sign === '>=' ? isOldEnough : sign === '^' && Number(major) === 20 && isOldEnough;
  };
  const odd = Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path, { engines }]) => [path, engines?.node ?? '*'] as const)
    .filter(([, range]) => range !== '*' && !range.split('||').some(takes));
  assert.deepEqual(odd, []);
});
