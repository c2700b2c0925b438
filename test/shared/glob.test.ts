/** Globs and paths of globs: what they match is what a plain definition says, and the work is linear in what a peer wrote. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { parseRule } from '../../dist/mux/policy/policy-rule.js';
import { Glob, LONGEST_SEARCHED, matchesGlob, PathGlob } from '../../dist/shared/glob.js';
import { fuzz } from '../support/text/fuzz.js';
import { assertLinear } from '../support/text/work.js';

/** As it would be defined, in time that grows with the product. */
function matches(glob: string, text: string): boolean {
  let ends = new Set([0]);
  for (const wanted of glob) {
    const next = new Set<number>();
    for (const at of ends) {
      if (wanted === '*') for (let end = at; end <= text.length; end++) next.add(end);
      else if (at < text.length && (wanted === '?' || wanted === text[at])) next.add(at + 1);
    }
    ends = next;
  }
  return ends.has(text.length);
}

function matchesParts(wanted: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = wanted;
  if (first === undefined) return path.length === 0;
  if (first === '**')
    return Array.from({ length: path.length + 1 }, (_, i) => i).some((i) => matchesParts(rest, path.slice(i)));
  return path.length > 0 && matches(first, path[0] ?? '') && matchesParts(rest, path.slice(1));
}

describe('a glob', () => {
  it('matches what its definition says', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 12 });
    const texts = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 24 });
    fuzz(
      'globs',
      fc.property(letters, texts, (glob, text) => {
        assert.equal(matchesGlob(glob, text), matches(glob, text), `${glob} ${text}`);
      }),
    );
  });

  it('of paths matches what its definition says', () => {
    const globs = fc.array(fc.constantFrom('**', '*', 'a', 'b', 'a?', '*b'), { maxLength: 6 });
    const paths = fc.array(fc.constantFrom('a', 'b', 'ab', 'c'), { maxLength: 8 });
    fuzz(
      'paths of globs',
      fc.property(globs, paths, (glob, path) => {
        assert.equal(new PathGlob(glob).matches(path), matchesParts(glob, path), `${glob.join('.')} ${path.join('.')}`);
      }),
    );
  });

  const hard: readonly (readonly [glob: (n: number) => string, text: (n: number) => string])[] = [
    [() => '*aaaaaaaaaaaaaaaab*', (n) => 'a'.repeat(n)],
    [(n) => `*${'a'.repeat(n / 4)}b*`, (n) => 'a'.repeat(n)],
    [(n) => `*${'ab'.repeat(n / 8)}c*`, (n) => 'ab'.repeat(n / 2)],
    [(n) => `${'*a'.repeat(n / 4)}*b`, (n) => 'a'.repeat(n)],
    [(n) => `${'*'.repeat(n / 4)}b*`, (n) => 'a'.repeat(n)],
    [() => `*${'a?'.repeat(LONGEST_SEARCHED / 2 - 1)}bb*`, (n) => 'a'.repeat(n)],
    [(n) => '?'.repeat(n), (n) => 'a'.repeat(n)],
  ];
  for (const [glob, text] of hard) {
    it(`such as ${glob(60).slice(0, 20)} takes work that grows with the text, and no faster`, () => {
      assertLinear(40_000, (size) => {
        const made = new Glob(glob(size));
        const long = text(size);
        return () => {
          made.matches(long);
        };
      });
    });
  }

  it('of many ** takes no exponential work', () => {
    const path = new PathGlob([...Array.from({ length: 40 }, () => ['**', 'a']).flat(), 'b']);
    assertLinear(20_000, (size) => {
      const long = Array.from({ length: size }, () => 'a');
      return () => {
        path.matches(long);
      };
    });
  });

  it('with ? between two stars is refused in a rule where it is longer than is good for others', () => {
    const long = `?${'a'.repeat(LONGEST_SEARCHED)}`;
    for (const rule of [`deny x a=*${long}*`, `deny x *${long}*=a`, `deny *${long}*`, `allow hmp *${long}*`])
      assert.ok('problem' in parseRule(rule), rule);
    for (const rule of [`deny x a=${long}*`, `deny x a=*${'a'.repeat(1000)}*`])
      assert.ok(!('problem' in parseRule(rule)), rule);
  });
});
