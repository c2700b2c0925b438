/** What a client needs to know about the connected QEMU. Another one, with other answers, may be connected later. */
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import type { CapabilityErrorTexts } from './capability-errors.js';

export interface ConnectedQemu {
  /** Why no command can be run now; null while they can. */
  readonly outage: string | null;
  /** Its answers to faulty negotiations. */
  readonly words: CapabilityErrorTexts;
  /** Whether clients are offered `oob`. */
  readonly offersOob: boolean;
  /** How it judges what it reads. */
  readonly dialect: Dialect;
  /** Whether the connection to it carries descriptors. */
  readonly carriesDescriptors: boolean;
  /** Whether it closes files in fd sets that nobody has used when its last monitor closes (before 9.1). */
  readonly closesUnusedSets: boolean;
}
