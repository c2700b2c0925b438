/**
 * QEMU runs no in-band command after a `quit` that it has agreed to (monitor_cleanup), so no answer of ours is sent after one either,
 * unless it turns out to live on.
 *
 * It goes none → expected (the client has sent a `quit`) → agreed (QEMU has said so) → expected (it has answered a later command, is lost,
 * or is not waited for any longer).
 */
export const QUIT = 'quit';

export class QuitWatch {
  #state: 'none' | 'expected' | 'agreed' = 'none';

  /** Whether QEMU has agreed to quit: no answer of ours is sent. */
  get isQuitting(): boolean {
    return this.#state === 'agreed';
  }

  /** The client sends a `quit` to QEMU. */
  expect(): void {
    if (this.#state === 'none') this.#state = 'expected';
  }

  /** QEMU has answered another in-band command, or is waited for no longer. @returns whether answers of ours were held up, and go on */
  goOn(): boolean {
    const wasQuitting = this.isQuitting;
    if (wasQuitting) this.#state = 'expected';
    return wasQuitting;
  }

  /** QEMU has answered a `quit` of the client without an error. */
  agree(): void {
    if (this.#state === 'expected') this.#state = 'agreed';
  }
}
