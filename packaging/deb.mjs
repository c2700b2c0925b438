/**
 * Builds the Debian package with dpkg-deb: `npm run deb`, or `node packaging/deb.mjs FOLDER`. It holds what `npm pack` holds, the packages
 * it needs at the versions of the lock file, and the units, all in their places; nothing is fetched.
 *
 * Needs Debian's dpkg-deb, an installed node_modules and a finished build. The same sources give the same package, byte for byte
 * (SOURCE_DATE_EPOCH, or the time of the last commit).
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64', riscv64: 'riscv64', loong64: 'loong64' };
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

const run = (program, args, options = {}) => execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', ...options });

/**
 * The packages that are needed at run time, by the lock file: this machine's alone. Optional peers are not (npm counts TypeScript, which
 * valibot knows how to use, among what is needed).
 */
function neededPackages() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const found = new Set();
  const visit = (owner) => {
    const { dependencies = {}, optionalDependencies = {} } = packages[owner];
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      // As Node looks for it: beside the one that needs it, then further up.
      let folder = owner;
      let path = join(folder, 'node_modules', name);
      while (packages[path] === undefined && folder !== '') {
        folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules') - 1));
        path = join(folder, 'node_modules', name);
      }
      if (found.has(path) || packages[path] === undefined || !existsSync(join(ROOT, path))) continue;
      found.add(path);
      visit(path);
    }
  };
  visit('');
  return [...found].map((path) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const { version, license } = packages[path];
    return { path, name, version, license: license ?? 'see its package.json' };
  });
}

/** What `npm pack` would put into its archive. */
function packedFiles() {
  const [{ files }] = JSON.parse(
    run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  return files.map(({ path }) => path);
}

function licences(packages) {
  const rows = packages.map(({ name, version, license }) => `${name} ${version}: ${license}`);
  return `Packages that are part of this one, each with its licence. Its text is beside its code, below /usr/lib/qmpmux.\n\n${rows.sort().join('\n')}\n`;
}

/** CycloneDX, of what is in the package: npm's own choice of that differs. */
function billOfMaterials(packages, time) {
  const all = run('npm', ['sbom', '--sbom-format', 'cyclonedx'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1e8,
  });
  const bom = JSON.parse(all);
  const shipped = new Set(packages.map(({ name, version }) => `${name}@${version}`));
  const own = bom.metadata.component['bom-ref'];
  bom.components = bom.components.filter((component) =>
    shipped.has(component['bom-ref'].replace(/^(@?[^@]+@[^|]+).*$/, '$1')),
  );
  const kept = new Set([own, ...bom.components.map((component) => component['bom-ref'])]);
  bom.dependencies = bom.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => kept.has(other)) }));
  // What differs from one run to the next says nothing about the package.
  delete bom.serialNumber;
  bom.metadata.timestamp = new Date(Number(time) * 1000).toISOString();
  return `${JSON.stringify(bom, null, 1)}\n`;
}

function control(size) {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`no Debian architecture is known for ${process.arch}`);
  return `Package: qmpmux
Version: ${manifest.version}
Architecture: ${architecture}
Maintainer: qmpmux maintainers <maintainers@users.noreply.r-seed-79bfd7d8.example>
Installed-Size: ${size}
Depends: nodejs (>= 20.19)
Recommends: systemd
Suggests: qemu-system, prometheus
Section: admin
Priority: optional
Description: ${manifest.description.charAt(0).toLowerCase()}${manifest.description.slice(1)}
 It owns the one monitor socket of a QEMU and serves any number of clients on
 sockets of its own, each of which behaves as QEMU's own does; with an audit
 log, a policy for each socket, and metrics.
`;
}

const target = resolve(process.argv[2] ?? ROOT);
const epoch = process.env.SOURCE_DATE_EPOCH ?? run('git', ['log', '-1', '--format=%ct']).trim();
const stage = mkdtempSync(join(tmpdir(), 'qmpmux-deb-'));
try {
  chmodSync(stage, 0o755);
  const place = (path) => {
    const full = join(stage, path);
    mkdirSync(dirname(full), { recursive: true, mode: 0o755 });
    return full;
  };
  const packages = neededPackages();
  for (const file of packedFiles()) cpSync(join(ROOT, file), place(join('usr/lib/qmpmux', file)));
  for (const { path } of packages) {
    // What lies below a package is copied for itself, if it is needed.
    const inner = join(ROOT, path, 'node_modules');
    const filter = (source) => source !== inner;
    cpSync(join(ROOT, path), place(join('usr/lib/qmpmux', path)), { recursive: true, dereference: true, filter });
  }
  symlinkSync('../lib/qmpmux/bin/qmpmux.js', place('usr/bin/qmpmux'));
  for (const unit of ['qmpmux.service', 'qmpmux@.service', 'qmpmux@.socket']) {
    cpSync(join(ROOT, 'systemd', unit), place(`lib/systemd/system/${unit}`));
  }
  cpSync(join(ROOT, 'systemd/qmpmux.sysusers'), place('usr/lib/sysusers.d/qmpmux.conf'));
  cpSync(join(ROOT, 'systemd/qmpmux.tmpfiles'), place('usr/lib/tmpfiles.d/qmpmux.conf'));
  cpSync(join(ROOT, 'systemd/qmpmux.logrotate'), place('etc/logrotate.d/qmpmux'));
  const doc = 'usr/share/doc/qmpmux';
  for (const file of readdirSync(join(ROOT, 'docs'), { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = relative(join(ROOT, 'docs'), join(file.parentPath, file.name));
    cpSync(join(file.parentPath, file.name), place(join(doc, path)));
  }
  cpSync(join(ROOT, 'LICENSE'), place(`${doc}/copyright`));
  writeFileSync(place(`${doc}/licences.txt`), licences(packages));
  writeFileSync(place(`${doc}/changelog.gz`), gzipSync(readFileSync(join(ROOT, 'CHANGELOG.md')), { level: 9 }));
  writeFileSync(place(`${doc}/sbom.cdx.json`), billOfMaterials(packages, epoch));

  // Nothing is writable to others or runs by accident.
  run('chmod', ['-R', 'u=rwX,go=rX', stage]);
  run('find', [stage, '-type', 'f', '-exec', 'chmod', 'a-x', '{}', '+']);
  chmodSync(join(stage, 'usr/lib/qmpmux/bin/qmpmux.js'), 0o755);
  const size = run('du', ['-sk', '--apparent-size', stage]).split('\t')[0];
  mkdirSync(join(stage, 'DEBIAN'), { mode: 0o755 });
  writeFileSync(join(stage, 'DEBIAN/control'), control(size));
  writeFileSync(join(stage, 'DEBIAN/conffiles'), '/etc/logrotate.d/qmpmux\n');
  for (const script of ['postinst', 'postrm']) {
    cpSync(join(ROOT, 'packaging/debian', script), join(stage, 'DEBIAN', script));
    chmodSync(join(stage, 'DEBIAN', script), 0o755);
  }
  run('find', [stage, '-exec', 'touch', '--no-dereference', `--date=@${epoch}`, '{}', '+']);
  const environment = { ...process.env, SOURCE_DATE_EPOCH: epoch };
  process.stdout.write(
    run('dpkg-deb', ['--root-owner-group', '-Zxz', '-z2', '--build', stage, target], { env: environment }),
  );
} finally {
  rmSync(stage, { recursive: true, force: true });
}
