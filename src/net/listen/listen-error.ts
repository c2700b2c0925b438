import { QmpmuxError } from '../../shared/errors.js';

/** A socket that cannot be made; the message names the address, the reason and the way out. */
export class ListenError extends QmpmuxError {
  readonly code = 'QMPMUX_LISTEN';

  constructor(place: string, problem: string, options?: ErrorOptions) {
    super(`cannot listen on ${place}: ${problem}`, options);
  }
}
