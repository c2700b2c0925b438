import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HttpGuard } from '../../../dist/net/listen/http-guard.js';

/** @returns what came through, and what the client was found to speak, of bytes that come in pieces of `size` */
function judge(text: string, size: number): { passed: string; foreign: string | null } {
  const guard = new HttpGuard();
  const bytes = Buffer.from(text, 'latin1');
  let passed = '';
  for (let at = 0; at < bytes.length; at += size) {
    const kept = guard.judge(bytes.subarray(at, at + size));
    if (typeof kept === 'string') return { passed, foreign: kept };
    passed += Buffer.from(kept).toString('latin1');
  }
  return { passed: passed + Buffer.from(guard.rest()).toString('latin1'), foreign: null };
}

const BODY = '{"execute":"qmp_capabilities"}{"execute":"stop"}';

describe('HTTP on a TCP listener', () => {
  const requests = [
    `POST / HTTP/1.1\r\nHost: 127.0.0.1:4444\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
    `GET /?${'x'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n${BODY}`,
    `OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    `\r\nPOST / HTTP/1.0\r\n\r\n${BODY}`,
    `get / HTTP/1.1\nhost: x\n\n${BODY}`,
    `XYZZY / HTTP/1.1\r\n\r\n${BODY}`,
    `AVERYLONGMETHODINDEED / HTTP/1.1\r\n\r\n${BODY}`,
    `M-SEARCH *\r\nHOST: 239.255.255.250\r\n\r\n${BODY}`,
    `custom /\r\nAccept: x\r\nHost:x\r\n\r\n${BODY}`,
    `PUT\u0020/`,
  ];
  for (const request of requests) {
    it(`is found before the body comes: ${JSON.stringify(request.slice(0, 30))}`, () => {
      for (const size of [1, 2, 3, 7, 1000, 1_000_000]) {
        const { passed, foreign } = judge(request, size);
        assert.equal(foreign, 'HTTP', `in pieces of ${size}`);
        assert.ok(!passed.includes('{'), passed);
      }
    });
  }

  it('is never mistaken for the input of a monitor’s client, of which nothing is lost', () => {
    const commands = [
      BODY,
      ` \r\n\t${BODY}`,
      `[1]\n{"Host:": "POST / HTTP/1.1\\nHost: x"}`,
      'info status\r\nsavevm HOSTING\r\nhelp http\r\n',
      'POSTS\r\n',
      'GET',
      'POST\r\n',
      'Info status\n',
      'A',
      '\u0016',
      '\u0016\u0016x',
      '\u0001quit\n',
      'x'.repeat(70_000) + '\nHost: not looked at any more\n',
      '\xffinfo\n',
      '',
    ];
    for (const text of commands) {
      for (const size of [1, 2, 3, 7, 1_000_000]) assert.deepEqual(judge(text, size), { passed: text, foreign: null });
    }
  });

  it('may come inside TLS, whose handshake is found as well', () => {
    for (const size of [1, 2, 100]) {
      assert.deepEqual(judge('\u0016\u0003\u0001\u0002\u0000{"execute":"stop"}', size), { passed: '', foreign: 'TLS' });
    }
  });
});
