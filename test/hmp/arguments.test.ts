import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type HmpProblem, readHmpLine } from '../../dist/hmp/arguments.js';
import { HMP_COMMANDS } from '../../dist/hmp/commands.js';
import { parseHmpLine } from '../../dist/hmp/line.js';
import { splitHmpWords } from '../../dist/hmp/words.js';

/** @returns the arguments as `name=text`, and the fault after a `!` */
function read(line: string): string {
  const { arguments: found, problem } = readHmpLine(line);
  const words = found.map(({ name, text }) => `${name}=${text}`);
  return [...words, ...(problem === null ? [] : [`!${problem}`])].join(' ');
}

// Each was seen at QEMU 7.2.
const lines: readonly (readonly [string, string])[] = [
  ['qom-set /objects/s data a b', 'path=/objects/s property=data value=a b'],
  ['qom-set/objects/s data a', 'path=/objects/s property=data value=a'],
  ['qom-set "/objects/s"data a', 'path=/objects/s property=data value=a'],
  ['qom-set /objects/s "data"a', 'path=/objects/s property=data value=a'],
  ['qom-set -j/objects/s data "a"', 'json=-j path=/objects/s property=data value="a"'],
  ['qom-set -j -j data a', 'json=-j path=-j property=data value=a'],
  ['qom-set /o "da\\nta" a', 'path=/o property=da\nta value=a'],
  ['qom-set /o "da\\tta" a', 'path=/o !string expected'],
  ['qom-set /o "data', 'path=/o !string expected'],
  ['qom-set /o "data\\', 'path=/o !string expected'],
  ['qom-set /o data', 'path=/o property=data !string expected'],
  ['set_password "vnc"x', 'protocol=vnc password=x'],
  ['set_password vnc x -d v keep', 'protocol=vnc password=x display=v connected=keep'],
  ['set_password vnc x -dv keep', 'protocol=vnc password=x display=v connected=keep'],
  ['set_password vnc x -d"v"keep', 'protocol=vnc password=x display=v connected=keep'],
  ['set_password vnc x -d', 'protocol=vnc password=x !value expected'],
  ['set_password vnc x -e', 'protocol=vnc password=x !unsupported option'],
  ['set_password vnc -d v', 'protocol=vnc password=-d connected=v'],
  ['set_password/vnc x', 'protocol=/vnc password=x'],
  ['set_password vnc x keep more', 'protocol=vnc password=x connected=keep !extraneous characters'],
  ['migrate -d tcp:h:1', 'detach=-d uri=tcp:h:1'],
  ['migrate -dtcp:h:1', 'detach=-d uri=tcp:h:1'],
  ['migrate -i -d x', 'inc=-i !unsupported option'],
  ['migrate -d -i "exec:a b"', 'detach=-d inc=-i uri=exec:a b'],
  ['migrate', '!string expected'],
  ['migrate -z x', '!unsupported option'],
  ['dump-guest-memory -z f 1 2', 'zlib=-z filename=f begin=1 length=2'],
  ['drive_add 0 "a=b"', 'pci_addr=0 opts=a=b'],
  ['drive_add -n 0 a=b', 'node=-n pci_addr=0 opts=a=b'],
  ['device_add', ''],
  ['device_add a,b=c d', 'device=a,b=c !extraneous characters'],
  ['x/10i 1', 'fmt=/10i addr=1'],
  ['x /10i 1', 'fmt=/10i addr=1'],
  ['x 1', 'addr=1'],
  ['x/10q 1', '!invalid format'],
  ['i 1 . 2', 'addr=1 index=2'],
  ['i 1', 'addr=1'],
  ['i 1 2', 'addr=1 !extraneous characters'],
  ['memsave 1+(2*3) 0x10 f', 'val=1+(2*3) size=0x10 filename=f'],
  ['memsave 1 0x10 /f', 'val=1 !number expected'],
  ['memsave 1 0x10 "/f"', 'val=1 size=0x10 filename=/f'],
  ["memsave 1 + 2-'a' 3 f", "val=1 + 2-'a' size=3 filename=f"],
  ['memsave 12/f', '!number expected'],
  ['memsave 1"2"', 'val=1 !number expected'],
  ['memsave (1 2 f', '!number expected'],
  ['memsave 1 $pc f', 'val=1 size=$pc filename=f'],
  ['memsave 1 09f', 'val=1 size=0 filename=9f'],
  ['memsave 1 0xg', 'val=1 size=0 filename=xg'],
  ['p 1+', '!number expected'],
  ["p 'ab'", '!number expected'],
  ['block_stream d 1.5Gf', 'device=d speed=1.5G base=f'],
  ['block_stream d 0x10 f', 'device=d speed=0x10 base=f'],
  ['block_stream d x', 'device=d !size expected'],
  ['block_resize d', 'device=d !size expected'],
  ['set_link n on', 'name=n up=on'],
  ['set_link n offf', 'name=n !on or off expected'],
  ['set_link "n"off', 'name=n up=off'],
  ['info block -n -v d', 'nodes=-n verbose=-v device=d'],
  ['info block -v -n d', 'verbose=-v device=-n !extraneous characters'],
  ['info version x', '!extraneous characters'],
  ['info version/x', '!extraneous characters'],
  ['info', ''],
  ['info/block', '!unknown command'],
  ['info nosuch', '!unknown command'],
  ['? set_password', 'name=set_password'],
  ['set_pasword vnc x', '!unknown command'],
  ['Stop', '!unknown command'],
  ['/stop', '!unknown command'],
  ['', ''],
  [' \t\n', ''],
  ['savevm x\0y', 'name=x\0y'],
];

describe('the arguments of a line of HMP', () => {
  for (const [line, expected] of lines) {
    it(`${JSON.stringify(line)} is split as QEMU splits it`, () => {
      assert.equal(read(line), expected);
    });
  }

  it('are reported with their places, quotes included', () => {
    const line = ' set_password  "vnc""p\\"w" -d "x y"';
    const words = readHmpLine(line).arguments.map(({ start, end }) => line.slice(start, end));
    assert.deepEqual(words, ['"vnc"', '"p\\"w"', '"x y"']);
  });

  it('are kept to 1023 bytes, as QEMU keeps them', () => {
    for (const [char, bytes] of [
      ['a', 1],
      ['é', 2],
      ['€', 3],
      ['\u{1f600}', 4],
    ] as const) {
      const [found] = readHmpLine(`savevm ${char.repeat(1100)}`).arguments;
      assert.equal(found?.text, char.repeat(Math.floor(1023 / bytes)));
      assert.equal(found.whole, char.repeat(1100));
    }
  });

  it('of the rest of a line are not cut', () => {
    const [found] = readHmpLine(`object_add ${'a'.repeat(5000)}`).arguments;
    assert.equal(found?.text.length, 5000);
  });

  it('do not end with a NUL, nor does the verb: QEMU keeps it as C0 80', () => {
    assert.deepEqual(parseHmpLine('quit\0x'), { verb: 'quit\0x', topic: '', end: 6 });
    const [found] = readHmpLine(`savevm ${'\0'.repeat(1100)}`).arguments;
    assert.equal(found?.text.length, 511);
  });

  it('cost no stack and linear time, however they are nested', () => {
    const n = 1_000_000;
    const problems: [string, HmpProblem | null][] = [
      [`print ${'('.repeat(n)}`, 'number expected'],
      [`print ${'-'.repeat(n)}1`, null],
      [`print ${'('.repeat(n)}1${')'.repeat(n)}`, null],
      [`savevm "${'\\"'.repeat(n)}"`, null],
      [`savevm "${'\\"'.repeat(n)}`, 'string expected'],
      [`${' '.repeat(n)}stop${' '.repeat(n)}`, null],
      [`x/${'9'.repeat(n)}i 1`, null],
    ];
    for (const [line, problem] of problems) assert.equal(readHmpLine(line).problem, problem, line.slice(0, 20));
  });
});

describe('the table of HMP commands', () => {
  it('has types that the reader knows', () => {
    for (const [verb, forms] of HMP_COMMANDS) {
      for (const form of forms)
        assert.match(form, /^$|^(?:[\w-]+:(?:[sFBilo][?]?|[SOM/b]|S\?|i\.|-[A-Za-z]s?)(?:,|$))+$/, verb);
    }
  });
});

describe('words to complete', () => {
  it('are split as QEMU does it, glued ones too', () => {
    assert.deepEqual(splitHmpWords('change "a b"c '), ['change', 'a b', 'c', '']);
    assert.equal(splitHmpWords('change "a b'), null);
    assert.equal(splitHmpWords('x '.repeat(17)), null);
  });
});
