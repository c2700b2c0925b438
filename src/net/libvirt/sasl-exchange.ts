/** What a mechanism of SASL does, whichever it is. */

export type SaslStep =
  | { readonly ok: true; readonly bytes: Uint8Array }
  /** What is wrong with the server's words. */
  | { readonly ok: false; readonly problem: string };

/** A log-in by one mechanism. */
export interface SaslExchange {
  /** What is said first. */
  begin(): Uint8Array;
  /** What is said to the server's words. */
  answer(challenge: Uint8Array): Promise<SaslStep> | SaslStep;
  /** Whether the server has proven all that it has to. */
  readonly isSatisfied: boolean;
}
