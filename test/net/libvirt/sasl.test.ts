/** The client's side of SASL: SCRAM by the examples of its RFCs, and what is said to whom. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseMechanism } from '../../../dist/net/libvirt/sasl.js';
import type { SaslStep } from '../../../dist/net/libvirt/sasl-exchange.js';
import { ScramExchange } from '../../../dist/net/libvirt/scram.js';

const SHA1 = {
  digest: 'sha1',
  nonce: 'fyko+d2lbbFgONRv9qkxdawL',
  challenge: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
  proof: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
  signature: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
};
const SHA256 = {
  digest: 'sha256',
  nonce: 'rOprNGfwEbeRWgbNEkqO',
  challenge: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  proof: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  signature: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};

function exchange({ digest, nonce }: typeof SHA1, name = 'user'): ScramExchange {
  return new ScramExchange(digest, name, 'pencil', nonce);
}

async function tell(client: ScramExchange, text: string): Promise<string> {
  const step: SaslStep = await client.answer(Buffer.from(text));
  return step.ok ? Buffer.from(step.bytes).toString() : `problem: ${step.problem}`;
}

for (const example of [SHA1, SHA256]) {
  test(`SCRAM by ${example.digest} is that of its RFC, and satisfied by the server’s proof alone`, async () => {
    const client = exchange(example);
    assert.equal(Buffer.from(client.begin()).toString(), `n,,n=user,r=${example.nonce}`);
    assert.equal(await tell(client, example.challenge), example.proof);
    assert.equal(client.isSatisfied, false);
    assert.equal(await tell(client, example.signature), '');
    assert.equal(client.isSatisfied, true);
  });
}

test('a name with the signs of SCRAM’s own is escaped', () => {
  assert.equal(Buffer.from(exchange(SHA1, 'a=b,c').begin()).toString(), `n,,n=a=3Db=2Cc,r=${SHA1.nonce}`);
});

for (const [what, challenge, problem] of [
  ['with a nonce that is not ours', 'r=other,s=QSXCR+Q6sek8bf92,i=4096', 'its nonce is not ours'],
  ['with our nonce alone', `r=${SHA1.nonce},s=QSXCR+Q6sek8bf92,i=4096`, 'its nonce is not ours'],
  ['without rounds', `r=${SHA1.nonce}x,s=QSXCR+Q6sek8bf92,i=0`, 'it asks for 0 rounds of SCRAM'],
  ['of too few rounds', `r=${SHA1.nonce}x,s=QSXCR+Q6sek8bf92,i=4095`, 'it asks for 4095 rounds of SCRAM'],
  ['of endless rounds', `r=${SHA1.nonce}x,s=QSXCR+Q6sek8bf92,i=999999999`, 'it asks for 999999999 rounds of SCRAM'],
  ['of nothing', '', 'its challenge is not one of SCRAM'],
  ['of something else', 'm=x,r=a,s=QSXCR+Q6sek8bf92,i=1', 'its challenge is not one of SCRAM'],
] as const) {
  test(`a challenge ${what} is not answered`, async () => {
    assert.equal(await tell(exchange(SHA1), challenge), `problem: ${problem}`);
  });
}

for (const [what, proof, problem] of [
  ['a wrong proof', 'v=AAAApqV8S7suAoZWja4dJRkFsKQ=', 'its proof is wrong'],
  ['a short proof', 'v=rmF9', 'its proof is wrong'],
  ['no proof', '', 'its proof is wrong'],
  ['an error', 'e=invalid-proof', 'invalid-proof'],
] as const) {
  test(`a server with ${what} is not believed`, async () => {
    const client = exchange(SHA1);
    await tell(client, SHA1.challenge);
    assert.equal(await tell(client, proof), `problem: ${problem}`);
    assert.equal(client.isSatisfied, false);
  });
}

test('the best mechanism is taken, and a password is sent only where it is safe', () => {
  const name = (...words: Parameters<typeof chooseMechanism>) => {
    const mechanism = chooseMechanism(...words);
    return typeof mechanism === 'string' ? mechanism : mechanism.name;
  };
  const all = ['PLAIN', 'GSSAPI', 'SCRAM-SHA-1', 'SCRAM-SHA-256'];
  assert.equal(name(all, 'unverified', null), 'SCRAM-SHA-256');
  assert.equal(name(all, 'private', 'PLAIN'), 'PLAIN');
  assert.match(name(all, 'unverified', 'PLAIN'), /^PLAIN would reveal the password to an unverified server: /);
  assert.match(name(['PLAIN'], 'unverified', null), /^PLAIN would reveal the password to an unverified server: /);
  assert.equal(name(['PLAIN'], 'private', null), 'PLAIN');
  assert.equal(name(all, 'private', 'SCRAM-SHA-512'), `it does not offer SCRAM-SHA-512, only ${all.join(', ')}`);
  assert.match(
    name(['GSSAPI', 'DIGEST-MD5'], 'private', null),
    /^it offers GSSAPI, DIGEST-MD5, and qmpmux knows SCRAM-/,
  );
  for (const wanted of [null, 'PLAIN', 'SCRAM-SHA-1']) {
    assert.match(name(all, 'clear', wanted), /^[\w-]+ does not encrypt the connection$/);
  }
  assert.match(name([], 'private', null), /^it offers nothing, /);
});
