/** qmpmux's own commands (admin/extension.ts), as a client's session needs them. */
import type { ExtensionCall } from '../commands/command.js';

export interface ExtensionCommands {
  /** Whether there is one of this name. */
  has(name: string): boolean;
  /** @param written the arguments as JSON in QEMU's spelling; null for none */
  read(name: string, written: Uint8Array | null): ExtensionCall;
}
