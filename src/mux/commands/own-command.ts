/** Commands that qmpmux sends in the name of a client that has left, to do what QEMU would have done then. */
import { ascii } from '../../shared/bytes.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import { type CommandOwner, PendingCommand } from './command.js';

/** For the observer: no client has sent this. */
const ID = '"qmpmux: its client has left"';

/** @param args the arguments in JSON; empty for none */
export function ownCommand(
  books: Bookkeeping,
  owner: CommandOwner,
  name: string,
  args: string,
  use: CommandDescriptors | null = null,
): PendingCommand {
  const head = `{"execute":"${name}"${args === '' ? '' : `,"arguments":${args}`},"id":`;
  const command = new PendingCommand(owner);
  command.name = name;
  command.receivedAt = books.now();
  if (books.observer?.wantsRaw === true) command.raw = ascii(`${head}${ID}}`);
  command.wire = ascii(head);
  command.id = ascii(ID);
  command.use = use;
  return command;
}
