/** Tests by their names, for pages that promise one. */
import { readdirSync, readFileSync } from 'node:fs';
import { root } from './pages.js';

const sources = readdirSync(`${root}test`, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => ({ file, source: readFileSync(`${root}test/${file}`, 'utf8') }));

/**
 * Tests of a name.
 *
 * @param name as it is in the source; with `${…}` where it is made from a case
 * @param inFile below `test`; everywhere if left out
 * @returns the text of each test of that name, or of its whole file where its name is made from a case
 */
export function testsNamed(name: string, inFile?: string): readonly string[] {
  const isMade = name.includes('${');
  const quotes = isMade ? ['`'] : ["'", '"'];
  const calls = quotes.flatMap((quote) => [`it(${quote}${name}${quote}`, `test(${quote}${name}${quote}`]);
  const texts: string[] = [];
  for (const { file, source } of sources) {
    if (inFile !== undefined && file !== inFile) continue;
    const at = calls.map((call) => source.indexOf(call)).find((index) => index >= 0);
    if (at === undefined) continue;
    const indent = /(?:^|\n)( *)$/.exec(source.slice(0, at))?.[1] ?? '';
    const end = source.indexOf(`\n${indent}})`, at);
    texts.push(isMade ? source : source.slice(at, end < 0 ? undefined : end));
  }
  return texts;
}
