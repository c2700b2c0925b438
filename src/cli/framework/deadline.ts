/** `--timeout TIME`: one limit for connecting and for all answers together. */
import type { CommandOptions, ConnectOptions } from '../../client/options.js';
import { QmpClient } from '../../client/qmp-client.js';
import { QmpmuxError } from '../../shared/errors.js';
import { parseDuration } from '../../shared/units.js';
import { openTarget, type Target } from './address-operand.js';
import { UsageError } from './subcommand.js';

/** Timers take no more. */
const LONGEST = 2 ** 31 - 1;

/** @returns milliseconds of a time as all options have it: `5s`, `500ms`, `2m`, `1h`, or seconds. @throws UsageError */
export function parseTime(flag: string, text: string): number {
  const milliseconds = parseDuration(text.startsWith('.') ? `0${text}` : text) ?? 0;
  if (milliseconds <= 0) {
    throw new UsageError(`--${flag} must be a time such as 5s, 500ms or 2m, not ${JSON.stringify(text)}`);
  }
  return Math.min(milliseconds, LONGEST);
}

/** Nothing came in time. */
class LateError extends QmpmuxError {
  readonly code = 'QMPMUX_LATE';
}

export class Deadline {
  readonly #milliseconds: number | null;
  readonly #signal: AbortSignal | null;

  /** @param seconds as the flag has it; the time runs from now. @throws UsageError */
  constructor(seconds: string | undefined) {
    this.#milliseconds = seconds === undefined ? null : parseTime('timeout', seconds);
    this.#signal = this.#milliseconds === null ? null : AbortSignal.timeout(this.#milliseconds);
  }

  /** For the calls of a client. Pass their rejections to `explain`. */
  get waiting(): CommandOptions {
    return this.#signal === null ? {} : { signal: this.#signal };
  }

  /** Connects. @throws the errors of QmpClient.connect, and LateError */
  async connect(target: Target, options: ConnectOptions = {}): Promise<QmpClient> {
    const limits = this.#signal === null ? {} : { signal: this.#signal, timeout: Number.POSITIVE_INFINITY };
    let isGreeted = false;
    const onMessage: ConnectOptions['onMessage'] = (direction, bytes) => {
      // Nothing is sent before the greeting.
      isGreeted ||= direction === 'sent';
      options.onMessage?.(direction, bytes);
    };
    try {
      return await QmpClient.connect(await openTarget(target), { ...options, ...limits, onMessage });
    } catch (error) {
      throw isGreeted
        ? this.#late(
            error,
            target,
            'no answer to qmp_capabilities',
            'QEMU hangs or is stopped, and no command was sent',
          )
        : this.#late(error, target, 'no greeting', 'if it is QEMU itself, it may be serving another client');
    }
  }

  /** @returns the error to report in place of `error`, which ended the waiting for an answer. */
  explain(error: unknown, target: Target): unknown {
    return this.#late(error, target, 'no answer', 'the command was sent and may still be executed');
  }

  #late(error: unknown, { text }: Target, what: string, and: string): unknown {
    if (this.#milliseconds === null || error !== this.#signal?.reason) return error;
    return new LateError(`${text}: ${what} within ${this.#milliseconds / 1000} s; ${and}`);
  }
}
