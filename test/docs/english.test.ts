/** The documentation and the texts of the program avoid phrases that a reader has to read twice; plain ones are always at hand. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { root } from '../support/text/pages.js';

const PHRASES = [
  /\banew\b/i,
  /\bso many\b/i,
  /\bas often as\b/i,
  /\b(?:is|are|was|were) told\b/i,
  /\btold (?:by|of|apart)\b/i,
  /\btells? (?:of|apart|whether)\b/i,
  /\bunless told\b/i,
  /\b(?:stands?|standing) (?:for|behind|in|at|there)\b/i,
  /\b(?:its|their) own accord\b/i,
  /\bof (?:its|their) own(?=[.,:;)]|$| (?:in|with|without|for|to|on|and|or|until)\b)/i,
  /\bgoes before\b/i,
  /\bnobody waits for\b/i,
  /\bbelongs? to nobody\b/i,
];

/** Made of texts in src, which are held to the same. */
const MADE = ['docs/reference/commands.md', 'docs/reference/config.md'];

/** Where a phrase is right, such as a quotation. */
const EXCEPTIONS: readonly { readonly file: string; readonly text: string; readonly why: string }[] = [];

interface Line {
  readonly file: string;
  readonly number: number;
  readonly text: string;
}

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`)
    .sort();
}

function linesOf(file: string): Line[] {
  return readFileSync(join(root, file), 'utf8')
    .split('\n')
    .map((text, index) => ({ file, number: index + 1, text }));
}

/** Only what is in quotes: comments have a reader too, but another one. */
function stringsOf(line: Line): Line {
  if (/^\s*(?:\*|\/\/|\/\*)/.test(line.text)) return { ...line, text: '' };
  const strings = line.text.match(/'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`/g) ?? [];
  return { ...line, text: strings.join(' ') };
}

function phrasesIn(lines: readonly Line[]): string[] {
  return lines.flatMap(({ file, number, text }) =>
    PHRASES.filter((phrase) => phrase.test(text))
      .filter(() => !EXCEPTIONS.some((exception) => exception.file === file && text.includes(exception.text)))
      .map((phrase) => `${file}:${number}: ${phrase.exec(text)?.[0]}: ${text.trim().slice(0, 120)}`),
  );
}

describe('plain English', () => {
  it('is what the pages are written in', () => {
    const files = ['README.md', 'CONTRIBUTING.md', ...filesBelow('docs', '.md')].filter((file) => !MADE.includes(file));
    assert.ok(files.length > 20, `${files.length} pages`);
    assert.deepEqual(phrasesIn(files.flatMap(linesOf)), []);
  });

  it('is what help, errors and log lines are written in', () => {
    const files = filesBelow('src', '.ts');
    assert.ok(files.length > 200, `${files.length} files`);
    assert.deepEqual(phrasesIn(files.flatMap(linesOf).map(stringsOf)), []);
  });

  it('is missed where it is missing', () => {
    const bad = { file: 'x', number: 3, text: "  throw new Error('it is made anew'); // told" };
    assert.deepEqual(phrasesIn([stringsOf(bad)]), ["x:3: anew: 'it is made anew'"]);
  });

  it('has exceptions only where they are needed', () => {
    for (const { file, text } of EXCEPTIONS) assert.ok(readFileSync(join(root, file), 'utf8').includes(text), text);
  });
});
