/**
 * The packages shipped with our own code: those needed at run time, by the lock file. `node packaging/shipped.mjs` describes them in
 * dist/sbom.cdx.json (CycloneDX) and dist/licences.txt.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const LOCK = join(ROOT, 'package-lock.json');
const BILL = join(ROOT, 'dist/sbom.cdx.json');
const LICENCES = join(ROOT, 'dist/licences.txt');

/**
 * Those that are installed here, so of the packages with machine code this machine's alone. Optional peers are not.
 */
export function shippedPackages() {
  const { packages } = JSON.parse(readFileSync(LOCK, 'utf8'));
  const found = new Set();
  const visit = (owner) => {
    const { dependencies = {}, optionalDependencies = {} } = packages[owner];
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const path = placeOf(packages, owner, name);
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

/** @returns the packages and their licences in short, and then in full */
function licenceList(packages) {
  const sorted = packages.toSorted((one, other) => referenceOf(one).localeCompare(referenceOf(other)));
  const rows = sorted.map(({ name, version, licence }) => `${name} ${version}: ${licence}`);
  const texts = sorted.map((each) => {
    const text = licenceText(each) ?? `Its package.json says: ${each.licence}`;
    return `${each.name} ${each.version} (${each.licence})\n\n${text}`;
  });
  const about = 'Packages that qmpmux needs at run time or has in its bundle, each with its licence.';
  const rule = `\n\n${'-'.repeat(80)}\n\n`;
  return `${[`${about}\n\n${[...new Set(rows)].join('\n')}`, ...new Set(texts)].join(rule)}\n`;
}

/** @returns the bill in CycloneDX 1.5: from the lock file alone, so that every npm will do, and the same sources give the same bill */
function billOfMaterials(packages) {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const { packages: locked } = JSON.parse(readFileSync(LOCK, 'utf8'));
  const own = referenceOf(manifest);
  const component = (type, { name, version, licence, path }) => {
    const [, algorithm, hash] = /^(sha\d+)-([^ ]+)/.exec(locked[path]?.integrity ?? '') ?? [];
    const resolved = locked[path]?.resolved;
    return {
      'bom-ref': referenceOf({ name, version }),
      type,
      name,
      version,
      purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
      // An expression such as "MIT OR Apache-2.0" is no id of a licence.
      ...(licence === undefined
        ? {}
        : { licenses: [/ /.test(licence) ? { expression: licence } : { license: { id: licence } }] }),
      ...(hash === undefined
        ? {}
        : {
            hashes: [{ alg: algorithm.replace('sha', 'SHA-'), content: Buffer.from(hash, 'base64').toString('hex') }],
          }),
      ...(resolved === undefined ? {} : { externalReferences: [{ type: 'distribution', url: resolved }] }),
    };
  };
  const byReference = (one, other) => one['bom-ref'].localeCompare(other['bom-ref']);
  const components = new Map(packages.map((each) => [referenceOf(each), component('library', each)]));
  const needs = new Map([[own, directlyNeeded('', packages)]]);
  for (const each of packages) needs.set(referenceOf(each), directlyNeeded(each.path, packages));
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: component('application', { ...manifest, licence: manifest.license, path: '' }),
    },
    components: [...components.values()].toSorted(byReference),
    dependencies: [...needs]
      .map(([ref, others]) => ({ ref, dependsOn: others.map(referenceOf).toSorted() }))
      .toSorted((one, other) => one.ref.localeCompare(other.ref)),
  };
  return `${JSON.stringify(bill, null, 1)}\n`;
}

function referenceOf({ name, version }) {
  return `${name}@${version}`;
}

/** @returns those of `packages` that the one in the folder `owner` names */
function directlyNeeded(owner, packages) {
  const { packages: locked } = JSON.parse(readFileSync(LOCK, 'utf8'));
  const { dependencies = {}, optionalDependencies = {} } = locked[owner];
  const names = Object.keys({ ...dependencies, ...optionalDependencies });
  return names.flatMap((name) => packages.find(({ path }) => path === placeOf(locked, owner, name)) ?? []);
}

/** @returns where a package is that the one in the folder `owner` needs, as Node looks for it: beside it, then further up */
function placeOf(locked, owner, name) {
  let folder = owner;
  let path = join(folder, 'node_modules', name);
  while (locked[path] === undefined && folder !== '') {
    folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules') - 1));
    path = join(folder, 'node_modules', name);
  }
  return path;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const packages = shippedPackages();
  mkdirSync(dirname(BILL), { recursive: true });
  writeFileSync(LICENCES, licenceList(packages));
  writeFileSync(BILL, billOfMaterials(packages));
}
