/**
 * When the turns of one multiplexer end. Scheduled work ends with the turn of the event loop, so that the input of many clients at
 * once makes one write. If bytes could be joined by nobody else's (QEMU's, or those of the only client), the turn ends at once after them.
 *
 * `#state` goes idle → due (the event loop will end the turn) → committing → idle, or idle → reading → committing → idle. Work
 * scheduled while a turn ends belongs to the next one.
 */
type State = 'idle' | 'due' | 'reading' | 'committing';

export class FlushScheduler {
  readonly #commit: () => void;
  #state: State = 'idle';
  /** Whether something is scheduled that no turn has done yet. */
  #isWanted = false;

  /** @param commit ends a turn of the multiplexer */
  constructor(commit: () => void) {
    this.#commit = commit;
  }

  /** Asks for the turn to be ended. */
  schedule(): void {
    this.#isWanted = true;
    if (this.#state !== 'idle') return;
    this.#state = 'due';
    setImmediate(this.#loopTurned);
  }

  /** Bytes are about to be handed in; `end` follows, and ends the turn unless one is being ended, or will be by the event loop. */
  begin(): void {
    if (this.#state === 'idle') this.#state = 'reading';
  }

  end(): void {
    if (this.#state === 'reading') this.#finish();
  }

  readonly #loopTurned = (): void => {
    this.#finish();
  };

  #finish(): void {
    if (this.#isWanted) {
      this.#isWanted = false;
      this.#state = 'committing';
      try {
        this.#commit();
      } finally {
        this.#rest();
      }
    } else this.#rest();
  }

  #rest(): void {
    this.#state = 'idle';
    if (this.#isWanted) this.schedule();
  }
}
