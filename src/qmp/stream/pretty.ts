/**
 * Takes the line breaks out of the output of a monitor with `pretty=on`, so that it reads as without: QEMU's JSON writer
 * (qobject/json-writer.c) breaks and indents exactly where it would otherwise put nothing, or a blank after a comma.
 */

/** Streaming: bytes in, in any chunks; one-line messages out, each ended by CRLF. */
export class PrettyFolder {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inIndent = false;
  #afterComma = false;

  /** @returns the folded form of the next bytes; a fresh array. */
  fold(chunk: Uint8Array): Uint8Array {
    // Folding only removes, but for the blank after a comma, which replaces a line break.
    const out = new Uint8Array(chunk.length + 2);
    let to = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#inString) {
        out[to++] = byte;
        if (this.#escaped) this.#escaped = false;
        else if (byte === 0x5c) this.#escaped = true;
        else if (byte === 0x22) this.#inString = false;
        continue;
      }
      if (byte === 0x0d || byte === 0x0a) {
        if (this.#depth > 0) this.#inIndent = true;
        else out[to++] = byte;
        continue;
      }
      if (this.#inIndent) {
        if (byte === 0x20) continue;
        this.#inIndent = false;
        if (this.#afterComma) out[to++] = 0x20;
      }
      this.#afterComma = byte === 0x2c;
      if (byte === 0x22) this.#inString = true;
      else if (byte === 0x7b || byte === 0x5b) this.#depth++;
      else if (byte === 0x7d || byte === 0x5d) this.#depth--;
      out[to++] = byte;
    }
    return out.subarray(0, to);
  }
}
