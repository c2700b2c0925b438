/** QEMU's limits on one message, and its words for exceeding them (qobject/json-streamer.c); the same in all versions. */

/** Bytes of all tokens of a message, their number, and open brackets. */
export const MAX_TOKEN_BYTES = 64 * 1024 * 1024;
export const MAX_TOKEN_COUNT = 2 * 1024 * 1024;
export const MAX_NESTING = 1024;

export const OVERSIZED = 'JSON token size limit exceeded';
export const TOO_MANY_TOKENS = 'JSON token count limit exceeded';
export const TOO_DEEP = 'JSON nesting depth limit exceeded';
