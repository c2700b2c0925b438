/** The part of a logger that this layer uses; a pino logger is one. Texts are short sentences, variable parts are in the fields. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  /** Whether lines of a level are written at all; absent if all may be. */
  isLevelEnabled?(level: string): boolean;
}
