/** The Debian package's copyright file: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/ */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { licenceText, ROOT } from './shipped.mjs';

/** Debian already ships the text of these licences. */
const COMMON = { 'Apache-2.0': 'On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.' };

/** @param folder below which the packages lie */
export function debianCopyright(packages, folder) {
  const own = stanza('*', 'MIT', readFileSync(join(ROOT, 'LICENSE'), 'utf8').trim());
  const parts = packages
    .toSorted((one, other) => one.path.localeCompare(other.path))
    .map((each) => {
      const text = licenceText(each) ?? `The package ${each.name} says in its package.json: ${each.licence}`;
      return stanza(`${folder}/${each.path}/*`, each.licence, text);
    });
  const head = 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: qmpmux\n';
  return [head, own, ...parts].join('\n');
}

function stanza(files, licence, text) {
  const holders = [...new Set(text.split('\n').filter((line) => /^\s*copyright\s+(\(c\)|©|\d)/i.test(line)))]
    .map((line) => line.trim().replace(/^copyright\s+(\(c\)\s*|©\s*)?/i, ''))
    // The form of Apache's appendix, which names nobody.
    .filter((line) => !/\[yyyy\]|\{yyyy\}/.test(line));
  const who = holders.length === 0 ? ['its authors'] : holders;
  const words = (COMMON[licence] ?? text).split('\n').map((line) => ` ${line.trim() === '' ? '.' : line.trimEnd()}`);
  return `Files: ${files}\nCopyright: ${who.join('\n ')}\nLicense: ${licence}\n${words.join('\n')}\n`;
}
