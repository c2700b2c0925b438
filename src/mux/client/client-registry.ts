/** All clients of a monitor, as the session of one of them needs the list. */
export interface ClientRegistry<Session> {
  /** The session has something to send, or to finish, at the end of the turn. */
  touch(session: Session): void;
  /** The session has had its part of the turn: `Session.readOn` is to be called in another one. */
  rest(session: Session): void;
  /** The session has completed its negotiation: it gets events from here on. */
  negotiated(session: Session): void;
  /** The memory held for the session has changed by this many bytes. */
  account(change: number): void;
  /** The session's client is gone, or is being sent its last output. It gets no more events. */
  disconnected(session: Session, reason: string): void;
  /** The session is over. */
  remove(session: Session): void;
}
