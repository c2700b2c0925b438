/**
 * The base of every error that qmpmux raises for its user: a wrong address, a wrong config, a socket that cannot be made.
 * Each subclass has one stable `code`; messages are one line and say what to do. A peer's bad input is never an exception.
 */
export abstract class QmpmuxError extends Error {
  /** Stable, for programs: `QMPMUX_ADDRESS`, `QMPMUX_LISTEN`, … */
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}
