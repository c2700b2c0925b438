/**
 * Builds the Debian package with dpkg-deb: `npm run deb`, or `node packaging/deb.mjs FOLDER`. It holds the files of `npm pack`, the
 * packages it needs at the versions of the lock file, and units, manual, completions and the rest in their places; nothing is fetched.
 *
 * Needs Debian's dpkg-deb, an installed node_modules and a finished build. The same sources give the same package, byte for byte
 * (SOURCE_DATE_EPOCH, or the time of the last commit).
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { debianCopyright } from './copyright.mjs';
import { ROOT, shippedPackages } from './shipped.mjs';

const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64', riscv64: 'riscv64', loong64: 'loong64' };
/** The builder sets this as for any Debian package (debchange(1)). */
const MAINTAINER =
  process.env.DEBFULLNAME !== undefined && process.env.DEBEMAIL !== undefined
    ? `${process.env.DEBFULLNAME} <${process.env.DEBEMAIL}>`
    : 'qmpmux maintainers <maintainers@users.noreply.r-seed-79bfd7d8.example>';
/** `engines` of package.json, in Debian's words. */
const NODE = 'nodejs (>= 20.19), nodejs (<< 21~) | nodejs (>= 22.12), nodejs (<< 23~) | nodejs (>= 24)';
const DOC = 'usr/share/doc/qmpmux';
const PROGRAM = 'usr/lib/qmpmux';
/** Where shells look. */
const COMPLETIONS = [
  ['qmpmux.bash', 'usr/share/bash-completion/completions/qmpmux'],
  ['_qmpmux', 'usr/share/zsh/vendor-completions/_qmpmux'],
];
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
/** QMPMUX_DEB_VERSION overrides it: the tests upgrade from one version to the next. */
const version = process.env.QMPMUX_DEB_VERSION ?? `${manifest.version}-1`;

const run = (program, args, options = {}) => execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', ...options });

/** The files that `npm pack` would put into its archive. */
function packedFiles() {
  const [{ files }] = JSON.parse(
    run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  return files.map(({ path }) => path);
}

/** A package's code and licence are kept: not its tests, documentation, types, or sources in other languages. */
const NO_FOLDER = /^(tests?|docs?|examples?|benchmarks?|vendor|musl_\w+|node_modules|\..*)$/;
const RUNS = /\.(js|cjs|mjs|json|node)$|^licen[cs]e/i;
const NO_FILE = /^\.|^(test|bench|benchmark|bin|browser|cnoke|trampolines|eslint\.config|tsconfig)\.\w+$/;

function isNeeded(top) {
  return (source, isFolder) => {
    const name = basename(source);
    if (source === top) return true;
    return isFolder ? !NO_FOLDER.test(name) : RUNS.test(name) && !NO_FILE.test(name);
  };
}

function copyPackage({ path }, target) {
  const top = join(ROOT, path);
  const needed = isNeeded(top);
  const copy = (from, to) => {
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      const source = join(from, entry.name);
      if (!needed(source, entry.isDirectory())) continue;
      if (entry.isDirectory()) copy(source, join(to, entry.name));
      else {
        mkdirSync(to, { recursive: true });
        cpSync(source, join(to, entry.name), { dereference: true });
      }
    }
  };
  copy(top, target);
}

function control(size) {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`no Debian architecture is known for ${process.arch}`);
  // libc6 for koffi's machine code, which is linked against 2.25.
  return `Package: qmpmux
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${size}
Depends: ${NODE}, libc6 (>= 2.25)
Recommends: systemd
Suggests: qemu-system, prometheus
Section: admin
Priority: optional
Description: one QMP monitor of a QEMU, shared among many clients
 It owns the one monitor socket of a QEMU and serves any number of clients on
 sockets of its own, each of which behaves as QEMU's own does; with an audit
 log, a policy for each socket, and metrics.
`;
}

function changelog(epoch) {
  const date = run('date', ['--utc', '--rfc-email', `--date=@${epoch}`], {
    env: { ...process.env, LC_ALL: 'C' },
  }).trim();
  const what = 'What has changed for its users is in the upstream changelog.';
  return `qmpmux (${version}) stable; urgency=medium\n\n  * ${what}\n\n -- ${MAINTAINER}  ${date}\n`;
}

const target = resolve(process.argv[2] ?? ROOT);
run(process.execPath, [join(ROOT, 'packaging/shipped.mjs')]);
// git refuses a clone that belongs to another user unless configured otherwise.
const epoch =
  process.env.SOURCE_DATE_EPOCH ?? run('git', ['-c', `safe.directory=${ROOT}`, 'log', '-1', '--format=%ct']).trim();
const stage = mkdtempSync(join(tmpdir(), 'qmpmux-deb-'));
try {
  chmodSync(stage, 0o755);
  const place = (path) => {
    const full = join(stage, path);
    mkdirSync(dirname(full), { recursive: true, mode: 0o755 });
    return full;
  };
  const compressed = (content) => gzipSync(content, { level: 9 });
  const packages = shippedPackages();
  for (const file of packedFiles()) {
    if (/\.d\.ts$|\.md$|^LICENSE$|^(systemd|docs)\/|^(man|completions?)\//.test(file)) continue;
    cpSync(join(ROOT, file), place(join(PROGRAM, file)));
  }
  for (const each of packages) copyPackage(each, place(join(PROGRAM, each.path)));
  symlinkSync('../lib/qmpmux/bin/qmpmux.js', place('usr/bin/qmpmux'));
  for (const unit of ['qmpmux.service', 'qmpmux@.service', 'qmpmux@.socket']) {
    cpSync(join(ROOT, 'systemd', unit), place(`usr/lib/systemd/system/${unit}`));
  }
  cpSync(join(ROOT, 'systemd/qmpmux.sysusers'), place('usr/lib/sysusers.d/qmpmux.conf'));
  cpSync(join(ROOT, 'systemd/qmpmux.tmpfiles'), place('usr/lib/tmpfiles.d/qmpmux.conf'));
  cpSync(join(ROOT, 'systemd/qmpmux.logrotate'), place('etc/logrotate.d/qmpmux'));
  const manual = join(ROOT, 'man');
  for (const page of readdirSync(manual)) {
    const section = /\.(\d)$/.exec(page)?.[1];
    if (section === undefined) continue;
    writeFileSync(place(`usr/share/man/man${section}/${page}.gz`), compressed(readFileSync(join(manual, page))));
  }
  for (const [file, path] of COMPLETIONS) {
    const source = join(ROOT, 'completions', file);
    cpSync(source, place(path));
  }
  for (const file of readdirSync(join(ROOT, 'docs'), { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = relative(join(ROOT, 'docs'), join(file.parentPath, file.name));
    cpSync(join(file.parentPath, file.name), place(join(DOC, path)));
  }
  cpSync(join(ROOT, 'packaging/examples/web1.toml'), place(`${DOC}/examples/web1.toml`));
  writeFileSync(place(`${DOC}/copyright`), debianCopyright(packages, PROGRAM));
  for (const file of ['licences.txt', 'sbom.cdx.json']) cpSync(join(ROOT, 'dist', file), place(`${DOC}/${file}`));
  writeFileSync(place(`${DOC}/changelog.gz`), compressed(readFileSync(join(ROOT, 'CHANGELOG.md'))));
  writeFileSync(place(`${DOC}/changelog.Debian.gz`), compressed(changelog(epoch)));
  // Tells lintian which findings are intended.
  cpSync(join(ROOT, 'packaging/debian/lintian-overrides'), place('usr/share/lintian/overrides/qmpmux'));

  // Nothing is writable to others or runs by accident.
  run('chmod', ['-R', 'u=rwX,go=rX', stage]);
  run('find', [stage, '-type', 'f', '-exec', 'chmod', 'a-x', '{}', '+']);
  for (const file of ['bin/qmpmux.js', 'libvirt/qemu-behind-qmpmux']) chmodSync(join(stage, PROGRAM, file), 0o755);
  const size = run('du', ['-sk', '--apparent-size', stage]).split('\t')[0];
  const files = readdirSync(stage, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted((one, other) => one.localeCompare(other));
  const sums = files.map((file) => {
    const sum = createHash('md5').update(readFileSync(file)).digest('hex');
    return `${sum}  ${relative(stage, file)}\n`;
  });
  mkdirSync(join(stage, 'DEBIAN'), { mode: 0o755 });
  writeFileSync(join(stage, 'DEBIAN/control'), control(size));
  writeFileSync(join(stage, 'DEBIAN/conffiles'), '/etc/logrotate.d/qmpmux\n');
  writeFileSync(join(stage, 'DEBIAN/md5sums'), sums.filter((line) => !line.includes('  etc/')).join(''));
  for (const script of ['postinst', 'prerm', 'postrm']) {
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
