import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientText, type PeerFacts, peerText } from '../../dist/shared/peer-text.js';

describe('who a peer is, in words', () => {
  const cases: readonly [PeerFacts, string][] = [
    [{ program: 'nc', pid: 8770, uid: 0, user: 'root' }, 'nc (pid 8770, root)'],
    [{ program: 'nc', pid: 8770, uid: 0 }, 'nc (pid 8770, uid 0)'],
    [{ program: 'nc', pid: 8770, uid: 0, user: 'root', loginuid: 1000, login: 'alice' }, 'nc (pid 8770, alice → root)'],
    [{ program: 'nc', pid: 8770, uid: 0, user: 'root', loginuid: 1000 }, 'nc (pid 8770, uid 1000 → root)'],
    [{ program: 'nc', pid: 8770, uid: 1000, user: 'alice', loginuid: 1000, login: 'alice' }, 'nc (pid 8770, alice)'],
    [{ pid: 8770, uid: 5 }, 'pid 8770, uid 5'],
    [{ uid: 5, user: 'games' }, 'games'],
    [{ kind: 'unix' }, ''],
    [{ kind: 'stdio' }, 'standard input'],
    [{ kind: 'tcp', address: '10.0.0.1', port: 5000 }, '10.0.0.1:5000'],
    [{ kind: 'tcp', address: '::1', port: 5000, subject: 'web1' }, '[::1]:5000 (CN web1)'],
  ];
  for (const [peer, text] of cases) {
    it(`is ${text === '' ? 'nothing' : text}`, () => {
      assert.equal(peerText(peer), text);
      assert.equal(clientText({ id: 7, peer }), text === '' ? 'client 7' : `client 7, ${text}`);
    });
  }
});
