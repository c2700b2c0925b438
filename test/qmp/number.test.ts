import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { decimalValue, formatDouble, formatInteger } from '../../dist/qmp/json/number.js';
import { missing } from '../support/daemon/programs.js';
import { scratch } from '../support/files/scratch.js';
import { seventeenDigits } from '../support/world/reference-reader.js';
import { bytesOf } from '../support/world/world.js';

/** The output of C's `printf("%.17g")` for some doubles (glibc). */
const recorded: readonly (readonly [number, string])[] = [
  [0, '0'],
  [-0, '-0'],
  [1, '1'],
  [-1, '-1'],
  [0.1, '0.10000000000000001'],
  [0.5, '0.5'],
  [1.5, '1.5'],
  [100, '100'],
  [1e15, '1000000000000000'],
  [1e16, '10000000000000000'],
  [1e17, '1e+17'],
  [123456789012345680, '1.2345678901234568e+17'],
  [0.0001, '0.0001'],
  [0.00001, '1.0000000000000001e-05'],
  [0.00012345, '0.00012344999999999999'],
  [2 ** 64, '1.8446744073709552e+19'],
  [2 ** 63, '9.2233720368547758e+18'],
  [-(2 ** 63), '-9.2233720368547758e+18'],
  [1e100, '1e+100'],
  [1e-100, '1e-100'],
  [5e-324, '4.9406564584124654e-324'],
  [2.2250738585072014e-308, '2.2250738585072014e-308'],
  [1.7976931348623157e308, '1.7976931348623157e+308'],
  [1e21, '1e+21'],
  // Just below a power of ten, and rounded up to it.
  [1e98, '1e+98'],
  [1e129, '1e+129'],
  [1e-14, '1e-14'],
  [-1e-176, '-1e-176'],
  [1e22, '1e+22'],
  [1e23, '9.9999999999999992e+22'],
  // Ties at the seventeenth digit, which go to the even one.
  [123456789012345.125, '123456789012345.12'],
  [123456789012345.375, '123456789012345.38'],
  [123456789012344.125, '123456789012344.12'],
  [12345678901234.0625, '12345678901234.062'],
  [12345678901234.1875, '12345678901234.188'],
  [2251799813685248.5, '2251799813685248.5'],
  [Number.POSITIVE_INFINITY, 'inf'],
  [Number.NEGATIVE_INFINITY, '-inf'],
];

const doubles = fc.oneof(
  fc.double({ noNaN: true }),
  // Short decimal fractions, and halves of units in the last place: where rounding is decided.
  fc
    .tuple(fc.integer({ min: -(10 ** 9), max: 10 ** 9 }), fc.integer({ min: -30, max: 30 }))
    .map(([n, e]) => Number(`${n}e${e}`)),
  fc.tuple(fc.maxSafeInteger(), fc.integer({ min: -60, max: 12 })).map(([n, power]) => n * 2 ** power),
  fc
    .tuple(fc.integer({ min: 0, max: 1 << 20 }), fc.integer({ min: 40, max: 52 }))
    .map(([n, bits]) => 2 ** bits + n + 0.125),
);

describe('a double', () => {
  it('is written as C writes it', () => {
    for (const [value, text] of recorded) assert.equal(formatDouble(value), text);
  });

  it('is written as its exact binary value says', () => {
    for (const [value, text] of recorded) assert.equal(seventeenDigits(value), text, 'the reference itself');
    fc.assert(
      fc.property(doubles, (value) => {
        assert.equal(formatDouble(value), seventeenDigits(value));
      }),
      { numRuns: 2000 },
    );
  });

  it('is written so that it reads back as the same double', () => {
    fc.assert(
      fc.property(doubles, (value) => {
        fc.pre(Number.isFinite(value));
        assert.ok(Object.is(Number(formatDouble(value)), value));
      }),
    );
  });

  it("is written as this system's printf writes it", { skip: missing('gcc') }, (t) => {
    const folder = scratch(t);
    writeFileSync(
      join(folder, 'print.c'),
      '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { char s[64]; while (fgets(s, sizeof s, stdin)) printf("%.17g\\n", strtod(s, NULL)); }\n',
    );
    execFileSync('gcc', ['-o', join(folder, 'print'), join(folder, 'print.c')]);
    const values = [
      ...recorded.map(([value]) => value).filter(Number.isFinite),
      ...fc.sample(doubles, 3000).filter(Number.isFinite),
    ];
    const input = values.map((value) => (Object.is(value, -0) ? '-0.0' : String(value))).join('\n');
    const printed = execFileSync(join(folder, 'print'), { input: `${input}\n`, encoding: 'latin1' })
      .trimEnd()
      .split('\n');
    assert.deepEqual(values.map(formatDouble), printed);
  });
});

describe('an integer', () => {
  it('is exact within int64 and uint64, and a double beyond', () => {
    for (const [token, text] of [
      ['0', '0'],
      ['-0', '0'],
      ['-1', '-1'],
      ['9007199254740993', '9007199254740993'],
      ['9223372036854775807', '9223372036854775807'],
      ['9223372036854775808', '9223372036854775808'],
      ['18446744073709551615', '18446744073709551615'],
      ['18446744073709551616', '1.8446744073709552e+19'],
      ['-9223372036854775808', '-9223372036854775808'],
      ['-9223372036854775809', '-9.2233720368547758e+18'],
      ['-18446744073709551615', '-1.8446744073709552e+19'],
      ['100000000000000000000000', '9.9999999999999992e+22'],
      [`1${'0'.repeat(308)}`, '1e+308'],
      [`1${'0'.repeat(309)}`, 'inf'],
      [`-1${'0'.repeat(5000)}`, '-inf'],
    ] as const) {
      assert.equal(formatInteger(token), text);
    }
  });
});

describe('a number of any length', () => {
  const value = (text: string): number => decimalValue(bytesOf(text), 0, text.length);

  it('is the double that the engine reads', () => {
    const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 40 }).map((all) => all.join(''));
    const long = fc
      .tuple(digits, fc.integer({ min: 0, max: 1500 }))
      .map(([text, times]) => text.repeat(Math.ceil(times / text.length) + 1));
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.oneof(
          fc.constant('0'),
          long.map((text) => `1${text}`),
        ),
        fc.option(fc.tuple(fc.integer({ min: 0, max: 1200 }), long)),
        fc.option(fc.integer({ min: -3000, max: 3000 })),
        (isNegative, integer, fraction, exponent) => {
          const point = fraction === null ? '' : `.${'0'.repeat(fraction[0])}${fraction[1]}`;
          const text = `${isNegative ? '-' : ''}${integer}${point}${exponent === null ? '' : `e${exponent}`}`;
          assert.ok(Object.is(value(text), Number(text)), text);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('is rounded by all its digits, and scaled by all its exponent', () => {
    // 2^53 + 1 lies between two doubles: the last of a million digits decides.
    assert.equal(value(`9007199254740993.${'0'.repeat(1_000_000)}`), 9007199254740992);
    assert.equal(value(`9007199254740993.${'0'.repeat(1_000_000)}1`), 9007199254740994);
    assert.equal(value(`0.${'0'.repeat(1_000_000)}5e1000001`), 5);
    assert.equal(value(`5${'0'.repeat(1_000_000)}e-1000000`), 5);
    assert.equal(value(`1e${'0'.repeat(1_000_000)}2`), 100);
    assert.equal(value(`1e${'9'.repeat(1_000_000)}`), Number.POSITIVE_INFINITY);
    assert.equal(value(`-1e-${'9'.repeat(1_000_000)}`), -0);
  });
});
