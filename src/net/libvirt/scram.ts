/**
 * The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding: the password never leaves, and the server has to prove that
 * it knows it too. Names and passwords go as they are, without SASLprep, as with Cyrus SASL, which libvirt uses.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { SaslExchange, SaslStep } from './sasl-exchange.js';

/** Of RFC 5802 and 7677. With fewer, whoever is in the server's place could guess the password from our proof the faster. */
const LEAST_ROUNDS = 4096;
/** More rounds than anyone asks for; a server may not keep us busy for minutes. */
const MOST_ROUNDS = 2_000_000;
/** Of a header that says: no channel binding, no other name to act as; and in base64. */
const HEADER = 'n,,';
const HEADER_CODED = Buffer.from(HEADER).toString('base64');

const derive = promisify(pbkdf2);

export class ScramExchange implements SaslExchange {
  readonly #digest: string;
  readonly #password: string;
  readonly #nonce: string;
  readonly #bare: string;
  /** The server's expected last message; null until it is known. */
  #signature: Buffer | null = null;
  isSatisfied = false;

  /** @param digest of node:crypto, such as sha256 @param nonce for tests */
  constructor(digest: string, name: string, password: string, nonce = randomBytes(24).toString('base64')) {
    this.#digest = digest;
    this.#password = password;
    this.#nonce = nonce;
    this.#bare = `n=${name.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  }

  begin(): Uint8Array {
    return Buffer.from(`${HEADER}${this.#bare}`);
  }

  answer(challenge: Uint8Array): Promise<SaslStep> | SaslStep {
    const text = Buffer.from(challenge).toString();
    return this.#signature === null ? this.#prove(text) : this.#check(text, this.#signature);
  }

  async #prove(text: string): Promise<SaslStep> {
    const [, nonce = '', salt = '', rounds = ''] =
      /^r=([^,]+),s=([A-Za-z\d+/]+={0,2}),i=(\d{1,9})(?:,|$)/.exec(text) ?? [];
    if (nonce === '') return problem('its challenge is not one of SCRAM');
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) return problem('its nonce is not ours');
    const count = Number(rounds);
    if (count < LEAST_ROUNDS || count > MOST_ROUNDS) return problem(`it asks for ${rounds} rounds of SCRAM`);
    const length = createHash(this.#digest).digest().length;
    const salted = await derive(this.#password, Buffer.from(salt, 'base64'), count, length, this.#digest);
    const key = this.#hmac(salted, 'Client Key');
    const stored = createHash(this.#digest).update(key).digest();
    const final = `c=${HEADER_CODED},r=${nonce}`;
    const all = `${this.#bare},${text},${final}`;
    const mask = this.#hmac(stored, all);
    this.#signature = this.#hmac(this.#hmac(salted, 'Server Key'), all);
    const proof = Buffer.from(key.map((byte, at) => byte ^ (mask[at] ?? 0)));
    return { ok: true, bytes: Buffer.from(`${final},p=${proof.toString('base64')}`) };
  }

  #check(text: string, expected: Buffer): SaslStep {
    const [, coded = ''] = /^v=([A-Za-z\d+/]+={0,2})(?:,|$)/.exec(text) ?? [];
    const signature = Buffer.from(coded, 'base64');
    this.isSatisfied = signature.length === expected.length && timingSafeEqual(signature, expected);
    if (this.isSatisfied) return { ok: true, bytes: new Uint8Array(0) };
    const [, error] = /^e=([^,]*)/.exec(text) ?? [];
    return problem(error === undefined ? 'its proof is wrong' : error);
  }

  #hmac(key: Uint8Array, text: string): Buffer {
    return createHmac(this.#digest, key).update(text).digest();
  }
}

function problem(text: string): SaslStep {
  return { ok: false, problem: text };
}
