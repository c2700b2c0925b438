/**
 * What is shipped besides our own code: the packages needed at run time, by the lock file. `node packaging/shipped.mjs` writes what there
 * is to say of them, dist/sbom.cdx.json (CycloneDX) and dist/licences.txt, unless that is newer than the lock file.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const LOCK = join(ROOT, 'package-lock.json');
const BILL = join(ROOT, 'dist/sbom.cdx.json');
const LICENCES = join(ROOT, 'dist/licences.txt');

/**
 * Those that are installed here, so of the packages with machine code this machine's alone. Optional peers are not (npm counts TypeScript,
 * which valibot knows how to use, among what is needed).
 */
export function shippedPackages() {
  const { packages } = JSON.parse(readFileSync(LOCK, 'utf8'));
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
    const { license: own } = JSON.parse(readFileSync(join(ROOT, path, 'package.json'), 'utf8'));
    return { path, name, version, licence: license ?? own };
  });
}

/** @returns the text of a package's licence, or null where it has none but its name. */
export function licenceText({ path }) {
  for (const name of ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'LICENCE', 'license']) {
    const file = join(ROOT, path, name);
    if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  }
  return null;
}

function licenceList(packages) {
  const rows = packages.map(({ name, version, licence }) => `${name} ${version}: ${licence}`);
  return `Packages that qmpmux needs at run time or has in its bundle, each with its licence.\n\n${[...new Set(rows)].toSorted((one, other) => one.localeCompare(other)).join('\n')}\n`;
}

/** npm's own bill, cut down to what is shipped. */
function billOfMaterials(packages) {
  const all = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1e8,
  });
  const bill = JSON.parse(all);
  const shipped = new Set(packages.map(({ name, version }) => `${name}@${version}`));
  const own = bill.metadata.component['bom-ref'];
  // npm calls it by its folder.
  Object.assign(bill.metadata.component, { type: 'application', name: own.slice(0, own.lastIndexOf('@')) });
  bill.components = bill.components.filter((component) =>
    shipped.has(component['bom-ref'].replace(/^(@?[^@]+@[^|]+).*$/, '$1')),
  );
  const kept = new Set([own, ...bill.components.map((component) => component['bom-ref'])]);
  bill.dependencies = bill.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => kept.has(other)) }));
  // What differs from one run to the next says nothing about the package.
  delete bill.serialNumber;
  delete bill.metadata.timestamp;
  return `${JSON.stringify(bill, null, 1)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const time = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = Math.max(time(LOCK), time(join(ROOT, 'package.json')), time(fileURLToPath(import.meta.url)));
  if (time(BILL) < sources || time(LICENCES) < sources) {
    const packages = shippedPackages();
    mkdirSync(dirname(BILL), { recursive: true });
    writeFileSync(LICENCES, licenceList(packages));
    writeFileSync(BILL, billOfMaterials(packages));
  }
}
