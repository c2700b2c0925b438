/**
 * Faulty requests that are sent during our own handshake: QEMU's answers show the texts of its errors and how it judges what it reads.
 * Both differ between its versions, and clients get the same from us.
 */
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import { BLANK, type CapabilityErrorTexts } from '../ports/capability-errors.js';

/**
 * A request whose two members have the same key draws exactly one error of syntax from every QEMU, without an id, and has no after-effect.
 * Other servers of the protocol read it as an object and answer with its id, which is the handshake's. QEMU's version is not enough:
 * QEMU changed between two builds that call themselves 11.0.50, and vendors take changes back to older ones.
 * @param id a JSON string
 */
export function dialectProbe(id: string): string {
  return `{"id":${id},"id":${id}}`;
}

/** @returns the dialect in which `desc` is the error that `dialectProbe` draws, or null when it is none */
export function dialectOf(desc: string | null): Dialect | null {
  const found = /^(\d{1,20}:\d{1,20}: )?JSON parse error, duplicate key$/.exec(desc ?? '');
  if (found === null) return null;
  return found[1] === undefined ? 'classic' : 'prompt';
}

/** A faulty request to send during the handshake, and what its answer teaches. */
export interface Probe {
  /** The command's members after the opening brace, without an id. */
  readonly members: string;
  learn(words: CapabilityErrorTexts, desc: string): void;
}

/**
 * @param nonce a word that QEMU cannot know; in the answer it marks the place of the client's word
 * @param offersOob whether `oob` is in the greeting: asking for it would end the negotiation
 */
export function probes(nonce: string, offersOob: boolean): Probe[] {
  const blanked = (desc: string): string => desc.replace(nonce, BLANK);
  const capabilities = '"execute":"qmp_capabilities","arguments":';
  const all: Probe[] = [
    {
      members: `"execute":"${nonce}"`,
      learn: (words, desc) => {
        words.expecting = desc;
      },
    },
    {
      members: `${capabilities}{"enable":["${nonce}"]}`,
      learn: (words, desc) => {
        words.unknownCapability = blanked(desc);
      },
    },
    {
      members: `${capabilities}{"${nonce}":0}`,
      learn: (words, desc) => {
        words.unexpectedArgument = blanked(desc);
      },
    },
    {
      members: `${capabilities}{"enable":0}`,
      learn: (words, desc) => {
        words.enableNotList = desc;
      },
    },
    {
      members: `${capabilities}{"enable":[0]}`,
      learn: (words, desc) => {
        words.itemNotString = desc.replace('[0]', `[${BLANK}]`);
      },
    },
  ];
  if (!offersOob) {
    all.push({
      members: `${capabilities}{"enable":["oob"]}`,
      learn: (words, desc) => {
        words.oobNotAvailable = desc;
      },
    });
  }
  return all;
}
