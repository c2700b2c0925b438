/**
 * When the turns of one multiplexer end. What is scheduled ends with the turn of the event loop, so that what came from many clients at
 * once is one write. Behind bytes that nobody else's could join (QEMU's, or those of the only client), the turn ends at once.
 *
 * `#state` goes idle → due (the event loop will end the turn) → committing → idle, or idle → reading → committing → idle. What is
 * scheduled while a turn ends belongs to the next one.
 *
 * Where more is expected within microseconds, the event loop looks for it a few times before it sleeps: falling asleep and being woken
 * costs us and who wakes us more than looking (docs/adr/0010-awake-for-a-moment.md).
 */
type State = 'idle' | 'due' | 'reading' | 'committing';

/** Passes of the event loop without sleeping behind a busy turn; each takes one to two microseconds. */
const PASSES = 4;

export class FlushScheduler {
  readonly #commit: () => void;
  readonly #isBusy: () => boolean;
  #state: State = 'idle';
  /** Whether something is scheduled that no turn has done yet. */
  #isWanted = false;
  /** Passes that are still to be made without sleeping. */
  #passes = 0;

  /**
   * @param commit ends a turn of the multiplexer
   * @param isBusy whether more is expected within microseconds; asked after each turn
   */
  constructor(commit: () => void, isBusy: () => boolean = () => false) {
    this.#commit = commit;
    this.#isBusy = isBusy;
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
      if (this.#isBusy()) this.#stayAwake();
    } else this.#rest();
  }

  #stayAwake(): void {
    const isAwake = this.#passes > 0;
    this.#passes = PASSES;
    if (!isAwake) setImmediate(this.#pass);
  }

  readonly #pass = (): void => {
    if (--this.#passes > 0) setImmediate(this.#pass);
  };

  #rest(): void {
    this.#state = 'idle';
    if (this.#isWanted) this.schedule();
  }
}
