/** Descriptors inside the multiplexer: whose they are, when they go, and that none is left. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RulePolicy } from '../../../dist/mux/policy/policy.js';
import { parseRule, type Rule } from '../../../dist/mux/policy/policy-rule.js';
import { CarryingLink, FakeDescriptor, type TestClient, World, type WorldOptions } from '../../support/world/world.js';

function worldThatCarries(options: WorldOptions = {}): World {
  return World.running({ carries: true, ...options });
}

function carried(world: World): readonly string[] {
  return world.upstream instanceof CarryingLink ? world.upstream.carried : [];
}

function getfd(name: string, id: string | number = `"${name}"`): string {
  return `{"execute":"getfd","arguments":{"fdname":"${name}"},"id":${id}}`;
}

function rule(text: string): Rule {
  const parsed = parseRule(text);
  assert.ok(!('problem' in parsed));
  return parsed;
}

const NOTHING_SENT = 'No file descriptor supplied via SCM_RIGHTS';

describe('a descriptor', () => {
  test('goes upstream with its own command, in one piece, in order with the rest', () => {
    const world = worldThatCarries();
    const client = world.client().negotiate();
    const file = new FakeDescriptor('/a');
    client.write('{"execute":"stop","id":1}');
    client.writeWith(getfd('x', 2), [file]);
    client.write('{"execute":"cont","id":3}');
    world.settle();
    assert.deepEqual(carried(world), ['/a {"execute":"getfd","arguments":{"fdname":"x"},"id":1}']);
    assert.deepEqual(world.qemu.waitingNames, ['stop', 'getfd']);
    world.qemu.returns();
    world.qemu.returns();
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['cont']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(
      client.take(),
      [1, 2, 3].map((id) => `{"return": {}, "id": ${id}}`),
    );
  });

  test('waits for its own client’s command, however many others there are', () => {
    const world = worldThatCarries();
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    const file = new FakeDescriptor('/a');
    one.writeWith(' ', [file]);
    two.write(getfd('b'));
    one.write(getfd('a'));
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['getfd'], 'one command that takes a descriptor at a time');
    world.qemu.fails(NOTHING_SENT);
    world.settle();
    assert.deepEqual(carried(world), ['/a {"execute":"getfd","arguments":{"fdname":"a"},"id":1}']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(two.take(), [`{"id": "b", "error": {"class": "GenericError", "desc": "${NOTHING_SENT}"}}`]);
    assert.deepEqual(one.take(), ['{"return": {}, "id": "a"}']);
  });

  test('is waited for no longer than until its command turns out not to be recorded', () => {
    const world = worldThatCarries();
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    world.observer.troubles.push('disk full');
    one.write(getfd('a'));
    two.write(getfd('b'));
    world.settle();
    assert.equal(one.take().length, 1);
    assert.deepEqual(world.qemu.waitingNames, ['getfd']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(two.take(), ['{"return": {}, "id": "b"}']);
  });

  test('has no byte after it until QEMU has taken it: its threads would race for it, and QEMU die', () => {
    const world = worldThatCarries();
    const [one, two] = [world.client().negotiate(), world.client().negotiate('oob')];
    one.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
    one.writeWith(getfd('b'), [new FakeDescriptor('/b')]);
    two.write('{"execute":"stop"}{"exec-oob":"yank"}');
    world.settle();
    two.write('{"execute":"cont"}');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['yank', 'getfd'], 'what is out of band overtakes it');
    world.qemu.returns();
    two.write('{"exec-oob":"yank"}');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['getfd']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(world.qemu.waitingNames.toSorted(), ['getfd', 'stop', 'yank']);
    assert.equal(carried(world).length, 2);
  });

  test('has others after it at once if QEMU’s threads do not race: from 11.0 on', () => {
    for (const [version, names] of [
      ['7.2.22', ['getfd']],
      ['10.2.2', ['getfd']],
      ['10.2.50', ['getfd']],
      ['11.0.0', ['getfd', 'stop', 'yank']],
      ['11.1.3', ['getfd', 'stop', 'yank']],
      ['12.0.0', ['getfd', 'stop', 'yank']],
    ] as const) {
      const world = worldThatCarries({ version });
      const [one, two] = [world.client().negotiate(), world.client().negotiate('oob')];
      one.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
      one.writeWith(getfd('b'), [new FakeDescriptor('/b')]);
      world.settle();
      two.write('{"execute":"stop"}{"exec-oob":"yank"}');
      world.settle();
      assert.deepEqual(world.qemu.waitingNames.toSorted(), names, version);
      assert.equal(
        carried(world).length,
        1,
        'only one of those that take a descriptor at a time, whatever the version',
      );
    }
  });

  test('that QEMU does not take for long holds up no out-of-band command, but all others', () => {
    const world = worldThatCarries();
    const client = world.client().negotiate('oob');
    client.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
    world.settle();
    client.write('{"execute":"stop"}{"exec-oob":"yank"}');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['getfd']);
    world.wait(1001);
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['getfd', 'yank']);
  });

  test('that does not come holds up nobody', () => {
    const world = worldThatCarries();
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    one.write(getfd('a'));
    two.write('{"execute":"stop"}');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['getfd', 'stop']);
  });

  test('that a command of an out-of-band kind does not take goes on waiting', () => {
    const world = worldThatCarries();
    const client = world.client().negotiate('oob');
    const file = new FakeDescriptor('/a');
    client.writeWith('{"exec-oob":"getfd","arguments":{"fdname":"x"},"id":1}', [file]);
    world.settle();
    world.qemu.fails('The command getfd does not support OOB');
    client.write(getfd('x', 2));
    world.settle();
    assert.deepEqual(carried(world), ['/a {"execute":"getfd","arguments":{"fdname":"x"},"id":0}']);
  });

  test('that came after a command is not that command’s', () => {
    const world = worldThatCarries();
    const client = world.client().negotiate();
    client.write(getfd('a', 1));
    client.writeWith('\n', [new FakeDescriptor('/a')]);
    client.write(getfd('b', 2));
    world.settle();
    world.qemu.fails(NOTHING_SENT);
    world.settle();
    assert.deepEqual(carried(world), ['/a {"execute":"getfd","arguments":{"fdname":"b"},"id":1}']);
  });

  test('that QEMU may still hold, since it ran no command for it, is kept from other clients', () => {
    const world = worldThatCarries();
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    one.writeWith(getfd('a', 1), [new FakeDescriptor('/a')]);
    world.settle();
    world.qemu.fails(
      'The command getfd is permitted only after machine initialization has completed',
      'CommandNotFound',
    );
    world.settle();
    assert.deepEqual(two.send(getfd('b', 2)), [
      `{"id": 2, "error": {"class": "GenericError", "desc": "${NOTHING_SENT}"}}`,
    ]);
    assert.deepEqual(world.qemu.waitingNames, []);
    // Its own client may take it still, as on a direct socket.
    one.take();
    assert.deepEqual(one.send(getfd('a', 3)), []);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(one.take(), ['{"return": {}, "id": 3}']);
    two.send(getfd('b', 4));
    assert.deepEqual(world.qemu.waitingNames, ['getfd']);
  });

  test('of which more come than a client’s commands may hold makes it wait, and nothing is lost', () => {
    const world = worldThatCarries();
    const client = world.client().negotiate();
    const files = Array.from({ length: 40 }, (_, index) => new FakeDescriptor(`/${index}`));
    for (const [index, file] of files.entries()) client.writeWith(getfd(`n${index}`, index), [file]);
    world.settle();
    assert.equal(client.link.isPaused, true);
    for (let i = 0; i < files.length; i++) {
      world.qemu.returns();
      world.settle();
    }
    assert.equal(client.link.isPaused, false);
    assert.equal(client.take().length, files.length);
    assert.deepEqual(
      carried(world).map((text) => text.split(' ')[0]),
      files.map(({ path }) => path),
    );
  });

  test('is reported to the observer, and so is the fate of those that cannot be kept', () => {
    const world = worldThatCarries();
    const client = world.client().negotiate();
    const [a, b, c] = ['/a', '/b', '/c'].map((path) => new FakeDescriptor(path));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    client.writeWith(' ', [a, b]);
    client.writeWith(getfd('x', 1), [c], 'no room for it');
    world.settle();
    assert.deepEqual(client.take(), ['{"id": 1, "error": {"class": "GenericError", "desc": "no room for it"}}']);
    assert.deepEqual(world.logged('descriptors'), ['descriptors 1 /a,/b kept', 'descriptors 1 /c no room for it']);
    assert.ok(a.isClosed && b.isClosed && c.isClosed);
    client.writeWith(getfd('x', 2), [], 'all were lost');
    world.settle();
    assert.match(client.take().join(), /all were lost/);
  });
});

/** Each way for a descriptor to end otherwise than with QEMU. */
const ENDINGS: Readonly<Record<string, (file: FakeDescriptor, world: World, client: TestClient) => void>> = {
  'its client leaves, and no command wants it': (file, _world, client) => {
    client.writeWith(' ', [file]);
    client.port.closed('gone');
  },
  'its client leaves in the middle of a command': (file, _world, client) => {
    client.writeWith('{"execute":"getfd"', [file]);
    client.port.closed('gone');
  },
  'its client ends its side': (file, _world, client) => {
    client.writeWith(' ', [file]);
    client.port.receiveEnd();
  },
  'it comes when its client is read no more': (file, world, client) => {
    world.mux.drain('ending');
    client.writeWith(' ', [file]);
  },
  'another comes': (file, _world, client) => {
    client.writeWith(' ', [file]);
    client.writeWith(' ', [new FakeDescriptor('/b')]);
  },
  'it is the second of a message': (file, _world, client) => {
    client.writeWith(' ', [new FakeDescriptor('/b'), file]);
  },
  'its command is denied': (file, world) => {
    const policy = new RulePolicy('p', [rule('deny @descriptors')], true);
    const other = world.client('unix:/p', { kind: 'unix' }, { policy }).negotiate();
    other.writeWith(getfd('x'), [file]);
    world.settle();
    assert.match(other.take().join(), /Command 'getfd' is not allowed here/);
  },
  'its listener takes none': (file, world) => {
    const other = world.client('unix:/off', { kind: 'unix' }, { noDescriptors: 'not here' }).negotiate();
    other.writeWith(getfd('x'), [file], 'not here');
    world.settle();
    assert.match(other.take().join(), /not here/);
  },
  'its name is another client’s': (file, world, client) => {
    const other = world.client().negotiate();
    other.writeWith(getfd('x'), [new FakeDescriptor('/b')]);
    world.settle();
    world.qemu.returns();
    client.writeWith(getfd('x'), [file]);
    world.settle();
    assert.match(client.take().join(), /belongs to client 2; use/);
  },
  'the observer cannot record its command': (file, world, client) => {
    world.observer.troubles.push('disk full');
    client.writeWith(getfd('x'), [file]);
    world.settle();
    assert.match(client.take().join(), /cannot record/);
    // It does not hold up the next one.
    client.writeWith(getfd('x'), [new FakeDescriptor('/b')]);
    world.settle();
    assert.equal(carried(world).length, 1);
  },
  'its command waits too long': (file, world) => {
    const other = world.client('unix:/t', { kind: 'unix' }, { commandTime: 1000 }).negotiate();
    other.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
    other.writeWith(getfd('x'), [file]);
    world.settle();
    world.wait(2000);
    assert.match(other.take().join(), /will not/);
  },
  'QEMU goes while its command waits': (file, world, client) => {
    client.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
    client.writeWith(getfd('x'), [file]);
    world.settle();
    world.mux.upstreamClosed('gone');
  },
  'everything ends': (file, world, client) => {
    client.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
    client.writeWith(getfd('x'), [file]);
    client.writeWith(' ', [new FakeDescriptor('/c')]);
    world.settle();
    world.mux.close('over');
  },
};

describe('a descriptor is closed when', () => {
  for (const [name, end] of Object.entries(ENDINGS)) {
    test(name, () => {
      const world = worldThatCarries();
      const file = new FakeDescriptor('/x');
      end(file, world, world.client().negotiate());
      world.settle();
      assert.equal(file.isClosed, true);
      assert.ok(!carried(world).some((text) => text.startsWith('/x ')));
    });
  }

  test('QEMU goes, and its client stays: with an error, and the next one goes to the next QEMU', () => {
    const world = worldThatCarries({ mux: { keepClients: true } });
    const client = world.client().negotiate();
    const file = new FakeDescriptor('/x');
    client.writeWith(getfd('a'), [new FakeDescriptor('/a')]);
    client.writeWith(getfd('x'), [file]);
    world.settle();
    world.mux.upstreamClosed('gone');
    world.settle();
    assert.ok(file.isClosed);
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.answerHandshake();
    client.writeWith(getfd('a'), [new FakeDescriptor('/b')]);
    world.settle();
    assert.match(carried(world).join(), /^\/b \{"execute":"getfd","arguments":\{"fdname":"a"\},"id":\d\}$/);
  });

  test('the way to QEMU carries none: with an error that says so', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const file = new FakeDescriptor('/x');
    client.writeWith(getfd('x', 1), [file]);
    world.settle();
    assert.match(client.take().join(), /the connection to this QEMU carries no file descriptors/);
    assert.ok(file.isClosed);
    // Without one the answer is QEMU's.
    client.send(getfd('x', 2));
    assert.deepEqual(world.qemu.waitingNames, ['getfd']);
  });
});

describe('a name', () => {
  const peer = { kind: 'unix', pid: 7, uid: 8, gid: 9, program: 'virsh' } as const;

  function owned(world: World, name: string): TestClient {
    const owner = world.client('unix:/run/vm.mux', peer).negotiate();
    owner.writeWith(getfd(name), [new FakeDescriptor('/x')]);
    world.settle();
    world.qemu.returns();
    world.settle();
    assert.equal(owner.take().length, 1);
    return owner;
  }

  function isRefused(world: World, client: TestClient, name: string): boolean {
    client.writeWith(getfd(name, 1), [new FakeDescriptor('/y')]);
    world.settle();
    const refused = client.take();
    if (refused.length > 0)
      assert.match(refused.join(), /name '.*' belongs to client 1, virsh \(pid 7, uid 8\); use another/);
    else {
      world.qemu.returns();
      world.settle();
      client.take();
    }
    return refused.length > 0;
  }

  test('is its client’s until it is closed', () => {
    const world = worldThatCarries();
    const owner = owned(world, 'x');
    const other = world.client().negotiate();
    assert.ok(isRefused(world, other, 'x'));
    assert.match(other.send('{"execute":"closefd","arguments":{"fdname":"x"}}').join(), /it is not closed for others/);
    assert.ok(!isRefused(world, other, 'y'));
    owner.send('{"execute":"closefd","arguments":{"fdname":"x"}}');
    world.qemu.returns();
    world.settle();
    assert.ok(!isRefused(world, other, 'x'));
  });

  test('is its client’s until that leaves', () => {
    const world = worldThatCarries();
    const owner = owned(world, 'x');
    const other = world.client().negotiate();
    owner.port.closed('gone');
    world.settle();
    assert.ok(!isRefused(world, other, 'x'));
  });

  const uses: Readonly<Record<string, string>> = {
    'by itself': '{"execute":"netdev_add","arguments":{"type":"tap","id":"n","fd":"x"}}',
    'behind fd:': '{"execute":"migrate","arguments":{"uri":"fd:x"}}',
    'in a list with colons': '{"execute":"netdev_add","arguments":{"type":"tap","id":"n","fds":"a:x:b"}}',
    'deep inside': '{"execute":"chardev-add","arguments":{"id":"c","backend":{"data":{"addr":{"data":{"str":"x"}}}}}}',
  };
  for (const [how, command] of Object.entries(uses)) {
    test(`is its client’s until a command uses it, ${how}; one that fails does not`, () => {
      const world = worldThatCarries();
      const owner = owned(world, 'x');
      const other = world.client().negotiate();
      owner.send(command);
      world.qemu.fails('no');
      world.settle();
      assert.ok(isRefused(world, other, 'x'));
      owner.send(command);
      world.qemu.returns();
      world.settle();
      assert.ok(!isRefused(world, other, 'x'));
    });
  }

  test('that QEMU did not take is nobody’s', () => {
    const world = worldThatCarries();
    const owner = world.client('unix:/run/vm.mux', peer).negotiate();
    owner.writeWith(getfd('1'), [new FakeDescriptor('/x')]);
    world.settle();
    world.qemu.fails("Parameter 'fdname' expects a name not starting with a digit");
    world.settle();
    assert.ok(!isRefused(world, world.client().negotiate(), '1'));
  });

  test('is claimed from when it is asked for, and compared as QEMU does: up to a NUL', () => {
    const world = worldThatCarries();
    const owner = world.client('unix:/run/vm.mux', peer).negotiate();
    const other = world.client().negotiate();
    owner.writeWith(getfd('x\\u0000y'), [new FakeDescriptor('/x')]);
    assert.ok(isRefused(world, other, 'x'));
  });

  test('of a client on TCP, or without credentials, is reported as far as known', () => {
    const world = worldThatCarries();
    const peers = [
      [{ kind: 'tcp', address: '127.0.0.1', port: 5 }, '127.0.0.1:5'],
      [{ kind: 'tcp', address: '127.0.0.1', port: 5, subject: 'backup' }, '127.0.0.1:5 (CN backup)'],
      [{ kind: 'stdio' }, 'standard input'],
      [{ kind: 'unix' }, ''],
    ] as const;
    for (const [index, [who, text]] of peers.entries()) {
      const owner = world.client('somewhere', who).negotiate();
      owner.writeWith(getfd(`n${index}`), [new FakeDescriptor('/x')]);
      world.settle();
      world.qemu.returns();
      const other = world.client().negotiate();
      other.writeWith(getfd(`n${index}`), [new FakeDescriptor('/y')]);
      world.settle();
      const name = text === '' ? '' : `, ${text}`;
      const answer = other.take().join();
      assert.match(answer, new RegExp(`belongs to client \\d+${name.replace(/[()]/g, '\\$&')}; use`));
    }
  });
});

describe('arguments that QEMU refuses', () => {
  const faulty = [
    '{"execute":"getfd"}',
    '{"execute":"getfd","arguments":{"fdname":"x","more":1}}',
    '{"execute":"getfd","arguments":{"fdname":{"x":1}}}',
    '{"execute":"add-fd","arguments":{"fdset-id":"1"}}',
    '{"execute":"add-fd","arguments":{"fdset-id":1e3}}',
    '{"execute":"add-fd","arguments":{"fdset-id":12345678901234567890}}',
    '{"execute":"add-fd","arguments":{"opaque":null}}',
    '{"execute":"add-fd","arguments":{"opaque":{"a":"b"}}}',
    '{"execute":"add-fd","arguments":{"other":1}}',
    `{"execute":"add-fd","arguments":{"x":[${'0,'.repeat(70_000)}0]}}`,
  ];
  for (const command of faulty) {
    test(`leave the descriptor waiting: ${command.slice(0, 80)}`, () => {
      const world = worldThatCarries();
      const client = world.client().negotiate();
      client.writeWith(command, [new FakeDescriptor('/x')]);
      world.settle();
      assert.equal(carried(world).length, 0);
      world.qemu.fails('no');
      client.write('{"execute":"add-fd","arguments":{"fdset-id":7,"opaque":"text"}}');
      world.settle();
      assert.match(carried(world).join(), /^\/x .*add-fd/);
    });
  }
});

describe('a file that a client has added to a set and left behind', () => {
  /** A client that adds one and leaves. */
  function leftBehind(world: World, fd: number): void {
    const client = world.client().negotiate();
    client.writeWith('{"execute":"add-fd"}', [new FakeDescriptor('/a')]);
    world.settle();
    world.qemu.returns(`{"fd": ${fd}, "fdset-id": 3}`);
    world.settle();
    client.port.closed('closed by the peer');
    world.settle();
  }

  function answer(world: World, value = '{}'): void {
    world.qemu.returns(value);
    world.settle();
  }

  test('is closed when the VM runs, as QEMU does it when its monitor closes', () => {
    const world = worldThatCarries();
    leftBehind(world, 20);
    assert.deepEqual(world.qemu.waitingNames, ['query-status']);
    answer(world, '{"status": "running", "singlestep": false, "running": true}');
    assert.deepEqual(world.qemu.waitingNames, ['remove-fd']);
    assert.match(world.logged('write').at(-1) ?? '', /"arguments":\{"fdset-id":3,"fd":20\}/);
    answer(world);
    assert.deepEqual(world.qemu.waitingNames, []);
    assert.equal(world.mux.sessionCount, 0);
    assert.equal(world.mux.heldBytes, 0);
  });

  test('is kept while the VM is paused, until somebody leaves when it runs', () => {
    const world = worldThatCarries();
    leftBehind(world, 20);
    answer(world, '{"status": "prelaunch", "singlestep": false, "running": false}');
    assert.deepEqual(world.qemu.waitingNames, []);
    assert.equal(world.mux.sessionCount, 0);
    const other = world.client().negotiate();
    other.port.receiveEnd();
    world.settle();
    assert.equal(other.link.isEnded, true);
    answer(world, '{"status": "running", "singlestep": false, "running": true}');
    assert.deepEqual(world.qemu.waitingNames, ['remove-fd']);
    answer(world);
    assert.deepEqual(other.take(), []);
    assert.equal(world.mux.sessionCount, 0);
  });

  test('is kept if any command has named its set', () => {
    const world = worldThatCarries();
    const other = world.client().negotiate();
    const client = world.client().negotiate();
    client.writeWith('{"execute":"add-fd"}', [new FakeDescriptor('/a')]);
    world.settle();
    answer(world, '{"fd": 20, "fdset-id": 3}');
    other.write('{"execute":"blockdev-add","arguments":{"driver":"file","filename":"/dev/fdset/3"}}');
    world.settle();
    answer(world);
    client.port.closed('closed by the peer');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, []);
    assert.equal(world.mux.sessionCount, 1);
  });

  test('is no matter any more when QEMU is gone meanwhile', () => {
    const world = worldThatCarries();
    leftBehind(world, 20);
    world.mux.upstreamClosed('gone');
    world.settle();
    assert.equal(world.mux.sessionCount, 0);
    assert.equal(world.mux.heldBytes, 0);
  });
});
