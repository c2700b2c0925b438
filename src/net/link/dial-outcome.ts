/** The outcomes of an attempt to reach QEMU, however it is reached. */
import type { Connection } from './connection.js';

export interface DialOutcome {
  connected(connection: Connection): void;
  /** Short, without the address. */
  failed(reason: string): void;
  /** A line that an `exec:` command, or the ssh to a libvirt, wrote to its standard error. */
  said(line: string, pid: number): void;
  /** A file with a password is used that others can read, too. @param mode such as `0644` */
  exposed(file: string, mode: string): void;
}
