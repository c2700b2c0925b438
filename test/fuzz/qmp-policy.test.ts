/**
 * Random policies, and random spellings of what they deny, carried out by a real QEMU: whatever it was seen to do although a rule denies it
 * by name was denied by the policy. What QEMU does is seen from outside: files it made or holds open, a program that ran, what it answers on
 * another monitor. QMPMUX_FUZZ_SEED replays a run, QMPMUX_POLICY_COMMANDS is how many commands.
 *
 * What no name shows is left out: links, and other ways to the same (src/mux/policy/other-ways.ts), each of which has a note and a test of its own.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Random } from '../conformance/generator.js';
import type { Scope } from '../support/files/scratch.js';
import { missing, type Qemu, startQemu } from '../support/qemu/qemu.js';
import { judge, policyOf } from '../support/text/policies.js';
import { RawClient } from '../support/world/raw-client.js';

const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
const wanted = Number(process.env['QMPMUX_POLICY_COMMANDS'] ?? 500);

type Arguments = Readonly<Record<string, unknown>>;

/** Something that QEMU can be seen to do. */
interface Deed {
  /** Each of these denies it. */
  readonly rules: readonly string[];
  /** A command that does it, or would on another version. */
  readonly command: (random: Random, id: string) => readonly [name: string, args: Arguments];
  /** What it needs, before the command. */
  readonly prepare?: (id: string) => Promise<unknown>;
  readonly happened: (id: string) => Promise<boolean>;
  readonly undo: (id: string) => Promise<unknown>;
  /** How often it can be done at most. */
  readonly times?: number;
}

function pick<T>(random: Random, items: readonly T[]): T {
  const [first, ...rest] = items;
  if (first === undefined) throw new RangeError('nothing to pick from');
  return random.pick([first, ...rest]);
}

/** Writes a value as JSON that QEMU reads as that value: escapes, quotes, blanks and the order of members are free. */
function spelled(value: unknown, random: Random): string {
  const blank = () => (random.once(6) ? random.pick([' ', '\n', '\t', '\r\n']) : '');
  if (typeof value === 'string') {
    const quote = random.once(4) ? "'" : '"';
    let text = '';
    for (const char of value) {
      if (char === quote || char === '\\') text += `\\${char}`;
      else if (char < ' ' || random.once(8)) text += `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
      else text += char === '/' && random.once(8) ? '\\/' : char;
    }
    return quote + text + quote;
  }
  if (Array.isArray(value)) return `[${value.map((item) => blank() + spelled(item, random) + blank()).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value);
    if (random.once(2)) members.reverse();
    const texts = members.map(
      ([key, each]) => `${blank()}${spelled(key, random)}${blank()}:${blank()}${spelled(each, random)}`,
    );
    return `{${texts.join(',')}${blank()}}`;
  }
  return JSON.stringify(value);
}

class Witness {
  readonly vm: Qemu;
  readonly secret: string;
  readonly #client: RawClient;

  static async start(scope: Scope): Promise<Witness> {
    const vm = await startQemu(scope, { extraArgs: ['-machine', 'pc', '-m', '16', '-device', 'ide-cd,id=cd0'] });
    const client = await RawClient.negotiated(vm.monitor);
    scope.after(() => {
      client.socket.destroy();
    });
    return new Witness(vm, client);
  }

  private constructor(vm: Qemu, client: RawClient) {
    this.vm = vm;
    this.#client = client;
    this.secret = join(vm.folder, 'secret');
    for (const folder of [this.secret, join(vm.folder, 'open')]) mkdirSync(folder);
    writeFileSync(join(this.secret, 'f'), Buffer.alloc(1 << 20));
  }

  /** Has QEMU carry out a command as written. */
  async carryOut(text: string): Promise<string> {
    await this.#client.write(`${text}\n`);
    const lines = await this.#client.readLinesUntil((line) => /^\{"(?:return|error|id)"/.test(line));
    return lines.at(-1) ?? '';
  }

  /** On the other monitor; what fails is nothing. */
  async ask(name: string, args: Arguments = {}): Promise<unknown> {
    try {
      return await this.vm.execute(name, args);
    } catch {
      return null;
    }
  }

  async answers(name: string, text: string, args: Arguments = {}): Promise<boolean> {
    return JSON.stringify(await this.ask(name, args)).includes(text);
  }

  get isOpen(): boolean {
    const folder = `/proc/${this.vm.pid}/fd`;
    return readdirSync(folder).some((fd) => {
      try {
        return readlinkSync(join(folder, fd)).startsWith(`${this.secret}/`);
      } catch {
        return false;
      }
    });
  }

  async noJobs(): Promise<void> {
    while (await this.answers('query-block-jobs', '"device"')) await wait(5);
  }

  disk(id: string): Promise<unknown> {
    return this.ask('blockdev-add', { driver: 'null-co', 'node-name': id, size: 1 << 20, 'read-zeroes': true });
  }

  /** The name of a file in the secret folder, written in one of the ways that need no link. */
  file(name: string, random: Random, isParsed: boolean): string {
    const { folder } = this.vm;
    let path = random.pick([
      join(this.secret, name),
      `secret/${name}`,
      `../${basename(folder)}/secret/${name}`,
      `/proc/self/root${this.secret}/${name}`,
      `/proc/self/cwd/secret/${name}`,
      `${folder}/open/../secret/${name}`,
    ]);
    for (let i = random.below(3); i > 0; i--) {
      const slashes = [...path.matchAll(/\//g)].map((match) => match.index);
      const at = pick(random, slashes);
      path = path.slice(0, at) + random.pick(['//', '/./', '///', '/.//']) + path.slice(at + 1);
    }
    if (!isParsed) return path;
    switch (random.below(5)) {
      case 0:
        return `file:${path}`;
      case 1:
        return `blkdebug::${path}`;
      default:
        return path;
    }
  }

  /** The same in options, for what is there already. */
  options(name: string, random: Random): string {
    const file = { driver: 'file', filename: this.file(name, random, false) };
    const whole = random.pick<unknown>([
      file,
      { driver: 'raw', file },
      { driver: 'raw', 'file.driver': 'file', 'file.filename': file.filename },
      { driver: 'blkdebug', image: file },
    ]);
    return `${random.once(4) ? 'blkdebug::' : ''}json:${spelled(whole, random)}`;
  }
}

function deedsOf(witness: Witness): ReadonlyMap<string, Deed> {
  const { secret } = witness;
  const { folder } = witness.vm;
  const inSecret = (id: string) => Promise.resolve(existsSync(join(secret, id)));
  /** As a command, or as an action of a transaction, beside others. */
  const carried = (random: Random, name: string, data: Arguments): readonly [string, Arguments] => {
    if (random.once(2)) return [name, data];
    const actions: { type: string; data: Arguments }[] = [{ type: name, data }];
    if (random.once(3)) actions.unshift({ type: 'block-dirty-bitmap-clear', data: { node: 'kept', name: 'kept' } });
    if (random.once(3)) actions.push({ type: 'block-dirty-bitmap-disable', data: { node: 'kept', name: 'kept' } });
    if (random.once(8)) actions.push({ type: 'abort', data: {} });
    return ['transaction', { actions }];
  };
  return new Map<string, Deed>([
    [
      'runs a program',
      {
        rules: ['deny migrate uri=exec:*', 'deny migrate **.transport=exec', 'deny migrate'],
        command: (random, id) => {
          const line = `touch ${folder}/ran-${id}`;
          const addr = {
            transport: 'exec',
            args: random.pick([
              ['/bin/sh', '-c', line],
              ['touch', `${folder}/ran-${id}`],
            ]),
          };
          return [
            'migrate',
            random.once(2) ? { uri: `exec:${line}` } : { channels: [{ 'channel-type': 'main', addr }] },
          ];
        },
        happened: async (id) => {
          // The program was started before the command was answered; it may take a moment to do its work.
          for (let i = 0; i < 600 && !existsSync(join(folder, `ran-${id}`)); i++) await wait(5);
          return existsSync(join(folder, `ran-${id}`));
        },
        undo: async () => {
          await witness.ask('migrate_cancel');
          while (
            /"status":"(?:setup|active|cancelling|device)"/.test(JSON.stringify(await witness.ask('query-migrate')))
          )
            await wait(5);
        },
      },
    ],
    [
      'opens a file',
      {
        rules: [
          `deny blockdev-add **.filename=${secret}/*`,
          'deny blockdev-add **.filename=*/secret/*',
          `deny blockdev-add **=${secret}/f`,
        ],
        command: (random, id) => {
          const file = { driver: 'file', filename: witness.file('f', random, false) };
          const whole = random.pick<Arguments>([file, { driver: 'raw', file }, { driver: 'blkdebug', image: file }]);
          return ['blockdev-add', { ...whole, 'node-name': id, 'read-only': random.once(2) }];
        },
        happened: () => Promise.resolve(witness.isOpen),
        undo: (id) => witness.ask('blockdev-del', { 'node-name': id }),
      },
    ],
    [
      'mirrors to a file',
      {
        rules: [`deny drive-mirror target=${secret}/*`, `deny drive-mirror **=${secret}/*`, 'deny drive-mirror'],
        prepare: (id) => witness.disk(id),
        command: (random, id) => {
          const target = random.once(2) ? witness.options('f', random) : witness.file('f', random, true);
          return ['drive-mirror', { device: id, 'job-id': id, target, mode: 'existing', format: 'raw', sync: 'full' }];
        },
        happened: () => Promise.resolve(witness.isOpen),
        undo: async (id) => {
          await witness.ask('block-job-cancel', { device: id, force: true });
          await witness.noJobs();
          await witness.ask('blockdev-del', { 'node-name': id });
        },
      },
    ],
    [
      'copies to a file',
      {
        rules: [
          `deny drive-backup target=${secret}/*`,
          `deny drive-backup target=*/secret/*`,
          'deny drive-backup',
          'deny drive-*',
        ],
        prepare: (id) => witness.disk(id),
        command: (random, id) =>
          carried(random, 'drive-backup', {
            device: id,
            'job-id': id,
            target: witness.file(id, random, true),
            format: 'raw',
            sync: 'full',
          }),
        happened: inSecret,
        undo: async (id) => {
          await witness.noJobs();
          await witness.ask('blockdev-del', { 'node-name': id });
        },
      },
    ],
    [
      'makes a snapshot',
      {
        rules: [
          `deny blockdev-snapshot-sync snapshot-file=${secret}/*`,
          'deny blockdev-snapshot-sync',
          'deny blockdev-snapshot*',
        ],
        prepare: (id) => witness.disk(id),
        command: (random, id) =>
          carried(random, 'blockdev-snapshot-sync', {
            'node-name': id,
            'snapshot-file': witness.file(id, random, true),
            'snapshot-node-name': `${id}-over`,
          }),
        happened: inSecret,
        undo: async (id) => {
          for (const node of [`${id}-over`, id]) await witness.ask('blockdev-del', { 'node-name': node });
        },
      },
    ],
    [
      'changes a medium',
      {
        rules: [`deny blockdev-change-medium filename=${secret}/*`, 'deny blockdev-change-medium'],
        command: (random) => {
          const filename = random.once(2) ? witness.options('f', random) : witness.file('f', random, true);
          return ['blockdev-change-medium', { id: 'cd0', filename, format: 'raw', force: true }];
        },
        happened: () => Promise.resolve(witness.isOpen),
        undo: () => witness.ask('eject', { id: 'cd0', force: true }),
      },
    ],
    [
      'adds a bitmap',
      {
        rules: ['deny block-dirty-bitmap-add', 'deny block-dirty-bitmap-add name=b*', 'deny block-dirty-bitmap-*'],
        command: (random, id) => carried(random, 'block-dirty-bitmap-add', { node: 'kept', name: id }),
        happened: (id) => witness.answers('query-named-block-nodes', `"${id}"`),
        undo: (id) => witness.ask('block-dirty-bitmap-remove', { node: 'kept', name: id }),
      },
    ],
    [
      'makes an object',
      {
        rules: ['deny object-add qom-type=iothread', 'deny object-add', 'deny *-add qom-type=iothread'],
        command: (_, id) => ['object-add', { 'qom-type': 'iothread', id }],
        happened: (id) => witness.answers('query-iothreads', `"${id}"`),
        undo: (id) => witness.ask('object-del', { id }),
      },
    ],
    [
      'adds a monitor',
      {
        rules: ['deny @monitors', 'deny object-add qom-type=monitor-*'],
        prepare: (id) => witness.ask('chardev-add', { id: `c-${id}`, backend: { type: 'null', data: {} } }),
        command: (random, id) => [
          'object-add',
          { 'qom-type': random.pick(['monitor-qmp', 'monitor-hmp']), id, chardev: `c-${id}` },
        ],
        happened: (id) => witness.answers('qom-list', `"${id}"`, { path: '/objects' }),
        undo: async (id) => {
          await witness.ask('object-del', { id });
          await witness.ask('chardev-remove', { id: `c-${id}` });
        },
      },
    ],
    [
      'plugs a device',
      {
        rules: ['deny device_add driver=virtio-rng-pci', 'deny device_add driver=virtio-rng', 'deny device_add'],
        command: (random, id) => ['device_add', { driver: random.pick(['virtio-rng', 'virtio-rng-pci']), id }],
        happened: (id) => witness.answers('qom-list', `"${id}"`, { path: '/machine/peripheral' }),
        undo: () => Promise.resolve(),
        times: 20,
      },
    ],
  ]);
}

describe('a policy over commands', { skip: missing('qemu') }, () => {
  it(`denies whatever QEMU does although a rule denies it by name, ${wanted} commands at random`, async (context) => {
    context.diagnostic(`QMPMUX_FUZZ_SEED=${seed} QMPMUX_POLICY_COMMANDS=${wanted} replays it`);
    const witness = await Witness.start(context);
    await witness.disk('kept');
    await witness.ask('block-dirty-bitmap-add', { node: 'kept', name: 'kept' });
    const deeds = deedsOf(witness);
    const all = [...deeds.values()].flatMap(({ rules }) => rules);
    const random = new Random(seed);
    const seen = new Map([...deeds.keys()].map((name) => [name, { tried: 0, happened: 0, denied: 0 }]));
    for (let made = 0; made < wanted; made++) {
      const [name, deed] = pick(random, [...deeds]);
      const count = seen.get(name);
      if (count === undefined || count.happened >= (deed.times ?? wanted)) continue;
      count.tried++;
      const id = `b${made}`;
      const [command, args] = deed.command(random, id);
      const text = spelled({ execute: command, arguments: args }, random);
      const own = random.once(4) ? null : pick(random, deed.rules);
      const rules = [
        ...Array.from({ length: random.below(3) }, () => pick(random, all)),
        ...(own === null ? [] : [own]),
      ];
      const isDenied = rules.some((rule) => deed.rules.includes(rule));
      const { allowed } = judge(policyOf(rules, true), text);
      await deed.prepare?.(id);
      const answer = await witness.carryOut(text);
      const happened = !answer.startsWith('{"error"') && (await deed.happened(id));
      const where = `seed ${seed}: ${name}: ${text} under ${JSON.stringify(rules)}: ${answer}`;
      if (happened) {
        count.happened++;
        if (isDenied) {
          count.denied++;
          assert.equal(allowed, false, where);
        }
      }
      if (rules.length === 0) assert.equal(allowed, true, where);
      await deed.undo(id);
    }
    for (const [name, { tried, happened, denied }] of seen) {
      context.diagnostic(`${name}: ${happened} of ${tried} times, ${denied} of them denied by a rule`);
      const isOld = Number(witness.vm.version.split('.')[0]) < 11;
      if (tried > 20 && !(isOld && name === 'adds a monitor'))
        assert.ok(denied > 0, `${name}: this test has not tried it`);
    }
  });
});
