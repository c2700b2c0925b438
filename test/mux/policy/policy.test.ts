import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseHmpLine } from '../../../dist/hmp/line.js';
import { LearningPolicy, readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { parseRule } from '../../../dist/mux/policy/policy-rule.js';
import { readOnlyCommands } from '../../../dist/mux/policy/read-only.js';
import { matchesGlob } from '../../../dist/shared/glob.js';
import {
  hmpCommand as hmp,
  judge,
  policyOf as policy,
  ruleOf as rule,
  command as run,
} from '../../support/text/policies.js';

function channel(transport: string) {
  return { 'channel-type': 'main', addr: { transport } };
}

describe('globs', () => {
  const cases: readonly (readonly [glob: string, text: string, matches: boolean])[] = [
    ['query-*', 'query-status', true],
    ['query-*', 'query-', true],
    ['query-*', 'xquery-status', false],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['*set*', 'balloon-set-now', true],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['*a*b*c', 'xaybzc', true],
    ['*a*b*c', 'xaybzcd', false],
    ['x.y', 'xzy', false],
    ['stop', 'stopped', false],
  ];
  for (const [glob, text, matches] of cases) {
    it(`${glob} ${matches ? 'matches' : 'does not match'} ${text || '(nothing)'}`, () => {
      assert.equal(matchesGlob(glob, text), matches);
    });
  }

  it('a glob full of stars takes no exponential time', () => {
    assert.equal(matchesGlob(`${'*a'.repeat(50)}b`, 'a'.repeat(5000)), false);
  });
});

describe('lines of the human monitor', () => {
  const cases: readonly (readonly [line: string, verb: string, topic: string])[] = [
    ['info status', 'info', 'status'],
    [' \t\v\finfo \n block -v', 'info', 'block'],
    ['info', 'info', ''],
    ['info/x status', 'info', ''],
    ['x/10i $pc', 'x', ''],
    ['p/x 1', 'print', ''],
    ['?', 'help', ''],
    ['c', 'cont', ''],
    ['q', 'quit', ''],
    ['s', 'stop', ''],
    ['inf status', 'inf', ''],
    ['INFO status', 'INFO', ''],
    ['', '', ''],
    ['/x', '', ''],
  ];
  for (const [line, verb, topic] of cases) {
    it(`${JSON.stringify(line)} runs ${verb || 'nothing'} ${topic}`, () => {
      const found = parseHmpLine(line);
      assert.deepEqual({ verb: found.verb, topic: found.topic }, { verb, topic });
    });
  }
});

describe('a rule', () => {
  const faults: readonly (readonly [text: string, at: number, problem: RegExp])[] = [
    ['', 0, /begins with allow or deny/],
    ['permit stop', 0, /begins with allow or deny/],
    ['allow', 0, /a command is missing/],
    ['allow hmp', 6, /an HMP command is missing/],
    ['allow hmp migrate tcp:*', 18, /first word alone/],
    ['allow hmp info block x', 21, /nothing can follow/],
    ['allow @all', 6, /no list @all/],
    ['allow @read-only id=x', 17, /no conditions/],
    ['deny @descriptors fdname=x', 18, /no conditions/],
    ['deny stop now', 10, /not a condition/],
    ['deny x =1', 7, /not a condition/],
    ['deny x a..b=1', 7, /empty part/],
    ['deny uri=exec:*', 5, /command is missing/],
    ["deny x a='b", 9, /not closed/],
    ['allow human-monitor-command command-line=info*', 28, /allow hmp info/],
  ];
  for (const [text, at, problem] of faults) {
    it(`${JSON.stringify(text)} is refused, and the place is named`, () => {
      const parsed = parseRule(text);
      assert.ok('problem' in parsed);
      assert.match(parsed.problem, problem);
      assert.equal(parsed.at, at);
    });
  }

  it('is quoted if a value has blanks', () => {
    const parsed = rule(`deny  set_link   "name=my card"`);
    assert.deepEqual(parsed.conditions, [{ path: ['name'], value: 'my card' }]);
    assert.equal(parsed.text, 'deny set_link "name=my card"');
    assert.deepEqual(rule(parsed.text).conditions, parsed.conditions);
  });
});

describe('a policy of rules', () => {
  it('is decided by the first rule that fits, then by its default', () => {
    const judged = policy(['deny query-block*', 'allow query-*']);
    assert.deepEqual(judge(judged, run('query-blockstats')), { allowed: false, rule: 'deny query-block*' });
    assert.deepEqual(judge(judged, run('query-status')), { allowed: true, rule: 'allow query-*' });
    assert.deepEqual(judge(judged, run('stop')), { allowed: false, rule: 'default deny' });
    assert.deepEqual(judge(policy(['deny quit'], true), run('stop')), { allowed: true, rule: 'default allow' });
  });

  it('judges decoded names, however they are written', () => {
    const judged = policy(['deny quit'], true);
    assert.equal(judge(judged, '{"execute":"\\u0071\\u0075it"}').allowed, false);
    assert.equal(judge(judged, "{'execute':'quit'}").allowed, false);
    assert.equal(judge(judged, "{'\\u0065xecute':'\\u0071uit'}").allowed, false);
  });

  it('judges out-of-band commands like any other', () => {
    assert.equal(judge(policy(['deny migrate-pause'], true), '{"exec-oob":"migrate-pause"}').allowed, false);
  });

  it('always lets negotiation through to QEMU, which refuses it', () => {
    assert.equal(judge(policy([]), run('qmp_capabilities')).allowed, true);
  });

  it('looks at arguments, decoded, at any depth', () => {
    const judged = policy(['deny migrate uri=exec:*', 'deny migrate channels.*.addr.transport=exec', 'allow migrate']);
    assert.equal(judge(judged, run('migrate', { uri: 'tcp:a:1' })).allowed, true);
    assert.equal(judge(judged, run('migrate', { uri: 'exec:cat' })).allowed, false);
    assert.equal(judge(judged, '{"execute":"migrate","arguments":{"\\u0075ri":"\\u0065xec:cat"}}').allowed, false);
    assert.equal(judge(judged, run('migrate', { channels: [channel('socket')] })).allowed, true);
    assert.equal(judge(judged, run('migrate', { channels: [channel('socket'), channel('exec')] })).allowed, false);
    assert.equal(judge(judged, run('migrate')).allowed, true);
  });

  it('** is any number of members, and a key with dots counts as several', () => {
    const judged = policy(['deny blockdev-add **.filename=/etc/*'], true);
    const deep = { driver: 'qcow2', file: { driver: 'file', filename: '/etc/shadow' } };
    assert.equal(judge(judged, run('blockdev-add', deep)).allowed, false);
    assert.equal(judge(judged, run('blockdev-add', { filename: '/etc/shadow' })).allowed, false);
    assert.equal(judge(judged, run('blockdev-add', { 'file.filename': '/etc/shadow' })).allowed, false);
    assert.equal(judge(judged, run('blockdev-add', { filename: '/vm/disk' })).allowed, true);
  });

  it('an allow rule with a path to several values needs all of them to fit', () => {
    const judged = policy(['allow transaction actions.*.type=block-dirty-bitmap-*']);
    const actions = (...types: string[]) => run('transaction', { actions: types.map((type) => ({ type, data: {} })) });
    assert.equal(judge(judged, actions('block-dirty-bitmap-add')).allowed, true);
    assert.equal(judge(judged, actions('block-dirty-bitmap-add', 'blockdev-snapshot')).allowed, false);
    assert.equal(judge(judged, actions()).allowed, false);
    assert.equal(judge(judged, run('transaction')).allowed, false);
  });

  it('needs every condition of a rule to be met', () => {
    const judged = policy(['allow device_add driver=virtio-*-pci bus=pcie.?']);
    assert.equal(judge(judged, run('device_add', { driver: 'virtio-net-pci', bus: 'pcie.0' })).allowed, true);
    assert.equal(judge(judged, run('device_add', { driver: 'virtio-net-pci' })).allowed, false);
    assert.equal(judge(judged, run('device_add', { driver: 'e1000', bus: 'pcie.0' })).allowed, false);
  });

  it('compares numbers and keywords in the one spelling QEMU gives them', () => {
    const judged = policy(['deny balloon value=1', 'deny set_link up=false', 'deny x y=1.5', 'deny x z=null'], true);
    for (const value of ['1', '1.0', '10e-1']) {
      assert.equal(judge(judged, `{"execute":"balloon","arguments":{"value":${value}}}`).allowed, false, value);
    }
    assert.equal(judge(judged, run('set_link', { up: false })).allowed, false);
    assert.equal(judge(judged, run('set_link', { up: true })).allowed, true);
    assert.equal(judge(judged, run('x', { y: 1.5 })).allowed, false);
    assert.equal(judge(judged, run('x', { z: null })).allowed, false);
    assert.equal(judge(judged, run('x', { z: [] })).allowed, true);
  });

  it('denies arguments that are too large to be judged, in bounded time', () => {
    const judged = policy(['allow x a=1', 'allow y']);
    const deep = `${'[1,'.repeat(1000)}1${']'.repeat(1000)}`;
    assert.equal(judge(judged, `{"execute":"x","arguments":{"b":${deep}}}`).rule, 'arguments too large to be judged');
    assert.equal(judge(judged, `{"execute":"y","arguments":{"b":${deep}}}`).allowed, true);
  });

  it('includes the read-only list if it is named', () => {
    const judged = policy(['deny query-fdsets', 'allow @read-only', 'allow stop']);
    assert.equal(judge(judged, run('query-fdsets')).allowed, false);
    assert.equal(judge(judged, run('query-block')).allowed, true);
    assert.equal(judge(judged, run('stop')).allowed, true);
    assert.equal(judge(judged, run('cont')).allowed, false);
  });

  it('includes the commands that take a descriptor if that list is named', () => {
    const judged = policy(['deny @descriptors', 'allow *-fd', 'allow closefd', 'allow @descriptors']);
    for (const name of ['getfd', 'add-fd']) assert.equal(judge(judged, run(name)).rule, 'deny @descriptors');
    for (const name of ['closefd', 'remove-fd']) assert.equal(judge(judged, run(name)).allowed, true);
  });

  it('forgets names that clients make up, and goes on judging', () => {
    const judged = policy(['allow query-*']);
    for (let i = 0; i < 5000; i++) assert.equal(judge(judged, run(`made-up-${i}`)).allowed, false);
    assert.equal(judge(judged, run('query-status')).allowed, true);
    assert.equal(judge(judged, run(`query-${'x'.repeat(1000)}`)).allowed, true);
  });
});

describe('lines of the human monitor under a policy', () => {
  it('are met by no pattern over command names, and denied by default', () => {
    assert.equal(judge(policy(['allow *'], true), hmp('info status')).allowed, false);
    assert.equal(judge(policy(['allow human-*'], true), hmp('info status')).allowed, false);
  });

  it('are judged by rules of their own, by any of the names of a command', () => {
    const judged = policy(['deny hmp info registers', 'allow hmp info', 'allow hmp c']);
    assert.deepEqual(judge(judged, hmp('info block')), { allowed: true, rule: 'allow hmp info' });
    assert.equal(judge(judged, hmp('  info   registers -a')).allowed, false);
    assert.equal(judge(judged, hmp('cont')).allowed, true);
    assert.equal(judge(judged, hmp('c')).allowed, true);
    assert.equal(judge(judged, hmp('stop')).allowed, false);
    assert.equal(
      judge(judged, '{"execute":"human-monitor-command","arguments":{"command-line":"\\u0073top"}}').allowed,
      false,
    );
  });

  it('are all met by the name of the command itself', () => {
    assert.equal(judge(policy(['allow human-monitor-command']), hmp('migrate exec:cat')).allowed, true);
    assert.equal(judge(policy(['deny human-monitor-command', 'allow hmp *']), hmp('info status')).allowed, false);
  });

  it('are denied if there is no line to judge', () => {
    const judged = policy(['allow hmp info*']);
    assert.equal(judge(judged, run('human-monitor-command')).allowed, false);
    assert.equal(judge(judged, run('human-monitor-command', { 'command-line': 5 })).allowed, false);
  });
});

describe('the read-only policy', () => {
  it('denies unknown commands', () => {
    const judged = readOnlyPolicy();
    assert.equal(judge(judged, run('query-status')).allowed, true);
    for (const name of ['query-something-new', 'stop', 'qom-get', 'query-rx-filter', 'x-query-roms', 'transaction']) {
      assert.equal(judge(judged, run(name)).allowed, false, name);
    }
    assert.equal(judge(judged, hmp('info status')).allowed, false);
  });

  it('lists no command twice', () => {
    assert.equal(new Set(readOnlyCommands()).size, readOnlyCommands().length);
  });
});

describe('the learning policy', () => {
  it('allows everything, and reports the rules it would have needed, each once', () => {
    const rules: string[] = [];
    const judged = new LearningPolicy((text) => rules.push(text));
    const seen = [run('query-block'), run('qmp_capabilities'), run('stop'), run('query-block'), hmp('info block -v')];
    seen.push(hmp('c'), hmp(''), run('hmp info'), run('hmp'), run('a*'), run('x'.repeat(70)));
    for (const command of seen) assert.equal(judge(judged, command).allowed, true);
    assert.deepEqual(rules, [
      'allow query-block',
      'allow stop',
      'allow hmp info block',
      'allow hmp cont',
      `allow ${'x'.repeat(70)}`,
    ]);
    const learned = policy(rules);
    for (const command of [run('query-block'), run('stop'), hmp('info  block'), hmp('cont')]) {
      assert.equal(judge(learned, command).allowed, true, command);
    }
    assert.equal(judge(learned, run('cont')).allowed, false);
  });
});
