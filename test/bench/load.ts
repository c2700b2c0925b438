/** What the benchmark's processes say to each other. The parent sends jobs; a worker answers each with its result. */

/** What a responder is told: where to listen, and how long its replies are. */
export interface RespondJob {
  readonly kind: 'respond';
  readonly paths: readonly string[];
  /** Bytes of padding in each reply; 0 for `{"return": {}}`. */
  readonly padding: number;
}

/** Clients that each keep some commands in flight, for some time. */
export interface LoadJob {
  readonly kind: 'load';
  /** Where clients connect to; to each in turn where there are several. */
  readonly path: string;
  readonly morePaths?: readonly string[];
  readonly clients: number;
  /** Commands that each client keeps in flight. */
  readonly depth: number;
  readonly seconds: number;
  /** Sent in turn. `@@@@@` stands for the id's number; the replies to each must be the same but for that. */
  readonly commands: readonly string[];
  /**
   * Where the replies are learnt that each client must get: at the responder, or at another monitor of the same QEMU. Without it they
   * are learnt at `path`, by the first client; libvirt leaves nothing else, for it writes QEMU's replies anew.
   */
  readonly repliesFrom?: string;
}

/** Clients that get events; the next ones are asked for when all have got the last. */
export interface EventJob {
  readonly kind: 'events';
  readonly path: string;
  readonly clients: number;
  readonly seconds: number;
  /** The responder's own socket, where the events are asked for. */
  readonly control: string;
  /** Events asked for at a time. */
  readonly burst: number;
  /** Whether clients negotiate first, as QMP has it. */
  readonly negotiates: boolean;
}

/** Clients that complete their negotiation and then do nothing. */
export interface IdleJob {
  readonly kind: 'idle';
  readonly path: string;
  readonly clients: number;
}

export type DriverJob = LoadJob | EventJob | IdleJob;

/** Stands for the id's number in a command, and in the reply to it. */
export const ID = '@@@@@';

export interface LoadResult {
  /** Replies, or deliveries of events, in the measured time. */
  readonly count: number;
  readonly bytes: number;
  /** The measured time, in seconds. */
  readonly seconds: number;
  /** Median round trip in microseconds; 0 unless one command was in flight. */
  readonly median: number;
}

/** From a worker to the parent. A job that is measured says when its measured time begins. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'begun' }
  | { readonly kind: 'done'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly reason: string };

/** From the parent to a worker. `close` ends the connections of the last job. */
export type ParentMessage =
  | RespondJob
  | DriverJob
  | { readonly kind: 'broadcast'; readonly from: string; readonly to: string }
  | { readonly kind: 'close' };

/** An event as the responder sends it, all alike. */
export const EVENT =
  '{"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "RTC_CHANGE", "data": {"offset": 7, "qom-path": "/machine/rtc"}}\r\n';

/** Says something to the parent process. */
export function tellParent(message: WorkerMessage): void {
  process.send?.(message);
}
