/**
 * The telnet protocol (RFC 854), as far as QEMU's `telnet=on` goes: the other side is asked once to leave the echo to us and to
 * send each key as it is typed; its answers to that are left out of its input.
 */

const IAC = 0xff;
const SE = 0xf0;
const SB = 0xfa;
const WILL = 0xfb;
const DO = 0xfd;
const DONT = 0xfe;

/** We will echo and suppress go-ahead, and both sides send binary: the bytes that QEMU sends first. */
export const TELNET_OFFER: Uint8Array = Uint8Array.of(IAC, WILL, 1, IAC, WILL, 3, IAC, WILL, 0, IAC, DO, 0);

/** Whether the first bytes of a server are telnet's. */
export function startsTelnet(chunk: Uint8Array): boolean {
  return chunk[0] === IAC;
}

/** Where in the stream one is: `in` a negotiation, in its text, at the command after an IAC in either, at the option after one. */
type Place = 'data' | 'command' | 'option' | 'text' | 'textCommand';

export class TelnetFilter {
  #place: Place = 'data';

  /** @returns the bytes without the protocol's own; the same array where there are none */
  filter(chunk: Uint8Array): Uint8Array {
    if (this.#place === 'data' && !chunk.includes(IAC)) return chunk;
    return chunk.filter((byte) => this.#isData(byte));
  }

  #isData(byte: number): boolean {
    switch (this.#place) {
      case 'data':
        if (byte !== IAC) return true;
        this.#place = 'command';
        return false;
      case 'command':
        if (byte === SB) this.#place = 'text';
        else this.#place = byte >= WILL && byte <= DONT ? 'option' : 'data';
        // A doubled one means the byte itself.
        return byte === IAC;
      case 'option':
        this.#place = 'data';
        return false;
      case 'text':
        if (byte === IAC) this.#place = 'textCommand';
        return false;
      case 'textCommand':
        this.#place = byte === SE ? 'data' : 'text';
        return false;
    }
  }
}
