/**
 * A listener with `protocol=hmp` must be indistinguishable from QEMU's own `-monitor unix:…`: what is typed is typed at both, in
 * one piece and key by key, and every byte that comes back must be the same. Each case has a monitor of its own, since a monitor
 * of QEMU's keeps its history from one connection to the next.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { scratch, suiteScope } from '../support/files/scratch.js';
import { missing } from '../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../support/qemu/shared-vm.js';
import { RawClient, type Target } from '../support/world/raw-client.js';

const ESC = '\x1b';
const [UP, DOWN, RIGHT, LEFT] = [`${ESC}[A`, `${ESC}[B`, `${ESC}[C`, `${ESC}[D`];
const KEYS = Array.from({ length: 70 }, (_, index) => `help x${index}\n`).join('');

/** What is typed, a character for a byte, by what it shows. */
const cases: Readonly<Record<string, string>> = {
  'the banner and the prompt': '',
  'a command': 'info status\n',
  'many commands in one piece': 'info status\ninfo name\nhelp info\nhelp\n',
  'carriage return, newline, both': 'info status\rinfo status\ninfo status\r\n\r\n',
  'blank lines': '\n   \n\t\n',
  'blanks around a command': '   info   status   \n',
  mistakes: 'bogus\ninfo bogus\nhelp bogus\ninfo status x\nstop x\nprint\nprint 1 +\nprint (1\nx/5z 0\n',
  'abbreviations are none': 'inf status\ninfo stat\n',
  'other names': 'p 1+2\nprint/x 255\n?\n? info\n',
  'backspace and delete': `infoo\x7f status\nxinfo status\x01\x04\x05\nabc\x08\x08\x08info name\n${'\x7f'.repeat(5)}`,
  'cursor keys': `nfo status${LEFT.repeat(10)}i${RIGHT.repeat(3)} ${LEFT}${DOWN}\x04\n`,
  'beyond the ends of the line': `${LEFT}${LEFT}info name${RIGHT}${RIGHT}\x04${LEFT.repeat(20)}\n`,
  'Home, End and Delete in their spellings': `fo${ESC}[1~in${ESC}[4~ xname${ESC}OHi${ESC}OF${ESC}[D${ESC}[3~${ESC}[1~${ESC}[3~\n`,
  'words deleted': 'info status  name\x17\x17  \x17\x17\x17\x17 info  \x17\n\x17\n a\x17 ab c\x01\x17\n',
  history: `info name\ninfo status\n${UP}${UP}${UP}${UP}\n${UP}${DOWN}${DOWN}${DOWN}x\n${UP}y\n${UP}${UP}${ESC}[E${ESC}[F\n`,
  'history: the same line moves to the end': `help a\nhelp b\nhelp a\n${UP}${UP}${UP}\nhelp b\n${UP}${UP}\n`,
  'history: an edited line': `help a\nhelp b\n${UP}${UP}c\n${UP}${UP}${UP}\x7f\x7f\x7f\x7f\x7f\x7f\n${DOWN}${UP}\n`,
  'history: more than it holds': `${KEYS}${UP.repeat(66)}\n${UP}${UP}${DOWN.repeat(3)}\ninfo history\n`,
  'info history': `info name\n\ninfo history\nbogus\ninfo history\n`,
  'escape sequences that mean nothing': `${ESC}[Zi${ESC}xn${ESC}[5~fo ${ESC}Oxna${ESC}[200~me${ESC}[201~\n${ESC}[12345678901A\nab${ESC}[Hc${ESC}[Fd\n`,
  'a control sequence in one byte': 'info name\n\x9bA\n\x9b1~x\n',
  'control characters that are ignored':
    'in\0fo\x02\x03\x06\x07\x0b \x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x18\x19\x1a\x1c\x1d\x1e\x1fname\n',
  // Keys from 9.1 on, ignored before.
  'history and the beginning of the line by control characters': `info name\ninfo status\n\x10\x10\x10\x0e\n\x0e\x10x\n\x15\nabc info name${LEFT.repeat(9)}\x15\x15\n ab c\x01\x15\x05\x15\x15\n`,
  'the screen cleared by a command': 'clear\ninfo name\n',
  'the screen cleared': `in\x0cfo ${LEFT}\x0c name\n\x0c`,
  'UTF-8 in a line':
    'help \u00c3\u00a9\u00c3\u00a9\x7f\x7f\nhelp \u00e2\u0082\u00ac x\u00f0\u009f\u0098\u0080\n'.replace(
      '\u009f',
      '\u0090',
    ),
  'quotes and backslashes': 'help "info status"\nhelp "a\\"b"\nhelp "a\nprint \'a\'\nhelp a\\b "c\n',
  'completion: one candidate': 'inf\tvers\t\nhel\t\t\tinfo\n',
  'completion: several': 'he\tinfo v\t\ninfo \t\x17\x17\t\n',
  'completion: all commands': '\t\n',
  'completion: none': 'zzz\tzzz \t zzz \t\n"inf\t\n"info" v\t\n',
  'completion in the middle of a line': `info name${LEFT.repeat(6)}\t\n${UP}\x01inf\t\n`,
  'completion of what help helps with': 'help inf\thelp info vers\t\n? info ver\t\nhelp help i\t\n',
  'completion of block devices': [
    'commit ',
    'eject ',
    'eject -f d',
    'info block ',
    'drive_mirror -n ',
    'drive_del ',
    'block_job_cancel ',
    'commit dr0 ',
    'block_stream x y ',
    'drive_backup -n -f ',
    'qemu-io ',
    'qemu-io -d ',
    'help eject d',
    'block_set_io_throttle ',
  ]
    .map((line) => `${line}\t\x01\x1b[D#\n`)
    .join(''),
  'completion of character devices':
    'chardev-remove \t\nringbuf_read \t\nringbuf_write r\t \t\nchardev-send-break c\t\n',
  'completion of objects and capabilities':
    'object_del \t\nmigrate_set_capability x\t\nmigrate_set_capability xb\t \t\n',
  'completion of types':
    'device_add virtio-b\t\ndevice_add virtio-blk-pci\t\ndevice_add x \t\nobject_add r\t\nobject_add \t\nchardev-add \t\nchardev-add u\t\nnetdev_add \t\n',
  'completion of devices to unplug': 'device_del \t\ndevice_del p\t \t\n',
  'completion of keys': 'sendkey ctr\t-a\t\nsendkey ctrl-alt-del\t\nsendkey a\t\nsendkey -\t\nsendkey a \t\n',
  'completion of words':
    'watchdog_action \t\nwatchdog_action p\t\nset_link x \t\nset_link x of\t\nmigrate_set_parameter \t\n',
  'completion of trace events': 'trace-event qmp_\t\ntrace-event x \t\ninfo trace-events usb_ehci_\t\n',
  'completion with more words than QEMU reads': `help ${'a '.repeat(15)}\t\nhelp ${'a '.repeat(16)}\t\n`,
  cpu: 'cpu\ncpu 0\ncpu 9\ncpu x\ncpu 1\nprint $eip\ncpu 0x0\ncpu 01\n',
  'a password': 'change vnc password\nse"cr\\et\x7f\x7fx\n',
  'a password: history and keys': `info name\nchange vnc password\nab${LEFT}c${UP}x\x01\x04\n${UP}\n`,
  'a long line': `help ${'a'.repeat(1000)}\n`,
};

/** The last line of each case: nothing comes behind its answer. */
const lastLine = 'end-of-case\n';
const lastAnswer = "unknown command: 'end-of-case'\r\n(qemu) ";

async function play(target: Target, typed: string, isByKey: boolean): Promise<string> {
  const client = await RawClient.connect(target);
  try {
    const bytes = Buffer.from(typed + lastLine, 'latin1');
    if (isByKey) await client.writeByByte(bytes);
    else await client.write(bytes);
    await client.readUntil(lastAnswer);
    return client.received.toString('latin1');
  } finally {
    await client.close();
  }
}

/** With every escape sequence visible, and a line for each change of the line that is typed. */
function readable(text: string): string[] {
  return text
    .replaceAll(LEFT, '<')
    .replaceAll(`${ESC}[K`, '|')
    .split(/(?<=[|\n])/)
    .map((part) => JSON.stringify(part));
}

describe('the human monitor', { skip: missing('qemu'), concurrency: 2 }, () => {
  const scope = suiteScope();
  const names = Object.keys(cases);
  const socket = `${scratch(scope)}/hmp`;
  let vm: SharedVm;
  before(async () => {
    vm = await shareVm(scope, {
      machine: 'q35',
      name: 'vm',
      monitors: [{}, ...names.flatMap(() => [{ hmp: true }, { hmp: true }])],
      flags: ['--listen', `unix:${socket},protocol=hmp`],
      extraArgs: [
        '-smp 2 -vnc none -chardev ringbuf,id=rb0 -object rng-builtin,id=rng0',
        '-device virtio-scsi-pci,id=scsi0 -device virtio-rng-pci,rng=rng0,id=plug -device pcie-root-port,id=port0',
        '-drive if=none,id=dr0,driver=null-co -blockdev driver=null-co,node-name=n0',
      ].flatMap((words) => words.split(' ')),
    });
    // QEMU loads modules when it is asked for all types, and knows more of them from then on.
    await vm.qemu.execute('qom-list-types');
  });
  for (const [index, name] of names.entries()) {
    for (const isByKey of [false, true]) {
      test(`${name}${isByKey ? ', key by key' : ''}`, async () => {
        const typed = cases[name] ?? '';
        const direct = vm.qemu.monitors[1 + 2 * index + Number(isByKey)] ?? '';
        const expected = await play(direct, typed, isByKey);
        const actual = await play(socket, typed, isByKey);
        assert.deepEqual(readable(actual), readable(expected));
      });
    }
  }
});
