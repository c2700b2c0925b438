/** Where a subcommand's monitor is: the ADDRESS among its operands, or the one of QMPMUX_SOCKET; and the connection there. */
import type { QmpTarget } from '../../client/connect.js';
import { type DialAddress, formatAddress, type LibvirtAddress } from '../../net/address/address.js';
import { parseUpstream } from '../../net/address/address-parser.js';
import { DEFAULT_ADDRESS, isAddress } from './command-line.js';
import { UsageError } from './subcommand.js';

/** For the notes of the subcommands that take an address. */
export const ADDRESS_NOTE =
  'ADDRESS is a QMP socket, of qmpmux or of QEMU itself: /path, unix:/path, tcp:HOST:PORT or exec:COMMAND. Where QMPMUX_SOCKET is set, ' +
  'it is the default; another ADDRESS then needs a leading /, ./ or scheme.';

export interface Target {
  readonly address: Exclude<DialAddress, LibvirtAddress>;
  /** For messages. */
  readonly text: string;
}

/** @returns the address and the operands after it. @throws UsageError, AddressError */
export function takeTarget(operands: readonly string[]): { readonly target: Target; readonly rest: readonly string[] } {
  const [first] = operands;
  const isGiven = first !== undefined && (DEFAULT_ADDRESS === null || isAddress(first));
  const text = isGiven ? first : DEFAULT_ADDRESS;
  if (text === null) throw new UsageError('the address is missing: name the QMP socket, or set QMPMUX_SOCKET');
  const [, second] = operands;
  if (isGiven && !isAddress(first) && second !== undefined && isAddress(second)) {
    throw new UsageError(`write the address first: ${second} ${first}`);
  }
  const address = parseUpstream(text);
  if (address.kind === 'server') throw new UsageError(`${text}: this command connects; leave "server" out`);
  if (address.kind === 'libvirt') {
    throw new UsageError(`${text}: this command talks to a QMP socket; make one by qmpmux serve --upstream ${text}`);
  }
  return { target: { address, text: formatAddress(address) }, rest: operands.slice(isGiven ? 1 : 0) };
}

/** @returns the target for QmpClient. */
export async function openTarget({ address }: Target): Promise<QmpTarget> {
  if (address.kind !== 'exec') return address;
  const { openCommand } = await import('./command-stream.js');
  return openCommand(address.command);
}
