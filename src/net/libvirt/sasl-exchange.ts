/** The interface of every SASL mechanism. */

export type SaslStep =
  | { readonly ok: true; readonly bytes: Uint8Array }
  /** The fault in the server's words. */
  | { readonly ok: false; readonly problem: string };

/** A log-in by one mechanism. */
export interface SaslExchange {
  /** The first message. */
  begin(): Uint8Array;
  /** The answer to the server's words. */
  answer(challenge: Uint8Array): Promise<SaslStep> | SaslStep;
  /** Whether the server has proven all that it has to. */
  readonly isSatisfied: boolean;
}
