import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommandIntake } from '../../../dist/mux/client/command-intake.js';
import type { PendingCommand } from '../../../dist/mux/commands/command.js';
import { idleOwner, type PartsOptions, SessionParts } from '../../support/world/session-parts.js';
import { bytesOf, textOf } from '../../support/world/world.js';

/** An intake by itself, beside the one that its session has. */
class Intake {
  readonly intake: CommandIntake;

  constructor(options: PartsOptions = {}) {
    const parts = new SessionParts(options);
    this.intake = new CommandIntake(parts, idleOwner(), parts.qemu.dialect);
  }

  /** Hands bytes in. @returns the findings, in words */
  read(input: string): string[] {
    this.intake.push(bytesOf(input));
    const found: string[] = [];
    for (let each = this.#next(); each !== null; each = this.#next()) found.push(each);
    return found;
  }

  #next(): string | null {
    const { intake } = this;
    const found = intake.next(true);
    switch (found.kind) {
      case 'nothing':
        return null;
      case 'command':
        return `command ${describeCommand(intake.takeForQemu(found.message))}`;
      case 'malformed':
      case 'misshapen':
        return `${found.kind}: ${found.fault}`;
      case 'later':
        return 'later';
    }
  }
}

function describeCommand(command: PendingCommand): string {
  const { name, oob, id, wire, raw, isPlainQuery } = command;
  const words = [
    ...(oob ? ['oob'] : []),
    name,
    id === null ? 'no id' : textOf(id),
    textOf(wire),
    ...(isPlainQuery ? ['plain'] : []),
    textOf(raw),
  ];
  return words.join(' | ');
}

/** The kinds of the findings, with the number of each. */
function kinds(found: readonly string[]): string[] {
  return found.map((each) => each.split(' ', 1)[0] ?? '');
}

describe('a client’s input', () => {
  it('becomes commands, with the bytes for upstream and the id as it comes back', () => {
    assert.deepEqual(
      new Intake().read(
        ' {"execute": "query-status", "id": 1.0}{"exec-oob":"x"}{"execute":"stop","arguments":{"a":1}}',
      ),
      [
        'command query-status | 1 | {"execute":"query-status","id": | plain | {"execute": "query-status", "id": 1.0}',
        'command oob | x | no id | {"exec-oob":"x","id": | {"exec-oob":"x"}',
        'command stop | no id | {"execute":"stop","arguments":{"a":1},"id": | {"execute":"stop","arguments":{"a":1}}',
      ],
    );
  });

  it('that is no command is classified: unreadable, no object, or of another shape', () => {
    assert.deepEqual(new Intake().read('] [] {"a":1,"a":2} {"a":1} {"execute":"b"}'), [
      'malformed: JSON parse error, expecting value',
      'malformed: QMP input must be a JSON object',
      'malformed: JSON parse error, duplicate key',
      "misshapen: QMP input member 'a' is unexpected",
      'command b | no id | {"execute":"b","id": | {"execute":"b"}',
    ]);
  });

  it('is read as the same in pieces of any size', () => {
    const input = '{"execute":"a","id":"x"}\n]{"execute":"b"}{"a":1}'.repeat(20);
    const whole = new Intake().read(input);
    assert.equal(whole.length, 80);
    for (const size of [1, 3, 17]) {
      const intake = new Intake();
      const found: string[] = [];
      for (let at = 0; at < input.length; at += size) found.push(...intake.read(input.slice(at, at + size)));
      assert.deepEqual(found, whole);
    }
  });

  it('is counted as read up to the end of the command at hand', () => {
    const { intake } = new Intake();
    intake.push(bytesOf('{"execute":"a"} {"execute":"b"} {"exe'));
    assert.equal(intake.next(false).kind, 'command');
    assert.deepEqual([intake.readBytes, intake.length], [15, 15]);
    assert.equal(intake.next(false).kind, 'command');
    assert.deepEqual([intake.readBytes, intake.length], [31, 15]);
    assert.equal(intake.next(false).kind, 'nothing');
    assert.equal(intake.readBytes, 37);
    assert.ok(intake.heldBytes > 0);
    intake.drop();
    assert.equal(intake.heldBytes, 0);
  });

  it('is kept as it was written only for an observer that wants it', () => {
    assert.deepEqual(new Intake({ observer: false }).read('{"execute":"a"}'), [
      'command a | no id | {"execute":"a","id": | ',
    ]);
  });
});

describe('a command that a client sends again and again', () => {
  it('becomes the same each time', () => {
    const intake = new Intake();
    assert.deepEqual(new Set(kinds(intake.read('{"execute":"query-a","id":7}'.repeat(8)))), new Set(['command']));
    assert.deepEqual(intake.read('{"execute":"query-a","id":"x"}{"execute":"query-a","id":12}'), [
      'command query-a | "x" | {"execute":"query-a","id": | plain | {"execute":"query-a","id":"x"}',
      'command query-a | 12 | {"execute":"query-a","id": | plain | {"execute":"query-a","id":12}',
    ]);
  });
});

describe('a large message', () => {
  const large = `{"execute":"a","arguments":{"x":[${'"\\n",'.repeat(200_000)}1]},"id":1}`;

  it('is parsed in steps, and comes to the same as a small one', () => {
    const found = new Intake().read(`${large}{"execute":"b"}`);
    const steps = found.filter((each) => each === 'later').length;
    assert.ok(steps > 5 && steps < 100, `${steps} steps`);
    assert.deepEqual(kinds(found.filter((each) => each !== 'later')), ['command', 'command']);
    const [first = ''] = found.filter((each) => each.startsWith('command'));
    assert.equal(first, `command a | 1 | ${large.slice(0, -2)} | ${large}`.replace('"id":1 |', '"id": |'));
  });

  it('keeps later input in its place while it is parsed', () => {
    const { intake } = new Intake();
    intake.push(bytesOf(large));
    assert.equal(intake.next(true).kind, 'later');
    const held = intake.heldBytes;
    assert.ok(held > 2 * large.length, 'what it becomes is counted before it is made');
    for (const piece of ['{"execute":', '"b"}', '[]']) intake.push(bytesOf(piece));
    assert.equal(intake.heldBytes, held + '{"execute":"b"}[]'.length);
    const found: unknown[] = [];
    for (let each = intake.next(true); each.kind !== 'nothing'; each = intake.next(true)) {
      if (each.kind === 'command') found.push(each.message.name);
      else if (each.kind !== 'later') found.push(each.kind);
    }
    assert.deepEqual(found, ['a', 'b', 'malformed']);
    assert.equal(intake.heldBytes, 0);
  });

  it('is dropped in the middle of it when its client is', () => {
    const { intake } = new Intake();
    intake.push(bytesOf(large));
    assert.equal(intake.next(true).kind, 'later');
    intake.drop();
    assert.equal(intake.heldBytes, 0);
    assert.equal(intake.next(true).kind, 'nothing');
  });
});

describe('an id', () => {
  it('of up to 64 KiB is taken, and of more is malformed, whatever it is made of', () => {
    const most = 65_536;
    const all: readonly ((size: number) => string)[] = [
      (size) => `"${'x'.repeat(size - 2)}"`,
      (size) => `"${'\\n'.repeat(size / 2 - 1)}"`,
      (size) => `[${' '.repeat(size - 2)}]`,
      (size) => `[[${'"",'.repeat(Math.floor((size - 6) / 3))}${' '.repeat((size - 6) % 3)}""]]`,
    ];
    for (const make of all) {
      for (const size of [most, most + 2]) {
        const id = make(size);
        assert.equal(id.length, size);
        const found = new Intake({ observer: false })
          .read(`{"execute":"a","id":${id}}`)
          .filter((each) => each !== 'later');
        assert.deepEqual(kinds(found), [size === most ? 'command' : 'malformed:']);
      }
    }
  });
});
