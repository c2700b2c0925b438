/** Commands that qmpmux sends by itself in the name of a client that has left, to do what QEMU would have done then. */
import { ascii, viewOf } from '../../shared/bytes.js';
import type { Session } from '../client/session.js';
import type { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { SessionOwner } from '../ports/session-owner.js';
import { PendingCommand } from './command.js';

/** For the observer: no client has sent this. */
const ID = '"qmpmux: its client has left"';

/** @param args the arguments in JSON; empty for none */
export function ownCommand(
  owner: SessionOwner,
  session: Session,
  name: string,
  args: string,
  use: CommandDescriptors | null = null,
): PendingCommand {
  const head = `{"execute":"${name}"${args === '' ? '' : `,"arguments":${args}`},"id":`;
  const command = new PendingCommand(session);
  command.name = name;
  command.receivedAt = owner.now();
  if (owner.observer?.wantsRaw === true) command.raw = ascii(`${head}${ID}}`);
  command.wire = viewOf(ascii(head));
  command.wireEnd = head.length;
  command.idBytes = ascii(ID);
  command.idEnd = ID.length;
  command.use = use;
  return command;
}
