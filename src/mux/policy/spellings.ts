/**
 * Other ways to write a command's arguments, for rules that deny: if QEMU takes two spellings of one thing, a rule over one of them
 * applies to the other too.
 *
 * | command | spellings | where QEMU has it |
 * | --- | --- | --- |
 * | `migrate`, `migrate-incoming` | `uri`, and since 8.2 `channels` | migration/migration.c, `migrate_uri_parse` |
 * | `block-dirty-bitmap-merge`, `block-export-add` | a bitmap as a string, or as an object with `name` | qapi/block-core.json, `BlockDirtyBitmapOrStr` |
 * | `device_add` | a type, or its other name (`virtio-net`) | system/qdev-monitor.c, `qdev_alias_table` |
 * | `device_add` | `true`, or before 9.2 a string such as `on` | util/qemu-option.c, util/cutils.c `qapi_bool_parse` |
 * | `device_del` and others that take the id of a device | the id, or the path `/machine/peripheral/ID` | system/qdev-monitor.c, `find_device_state` |
 * | `object-add` | properties beside `id`, or before 6.0 in `props` | qapi/qom.json of 5.2 |
 * | names of images | options in `json:{…}` | block.c, `parse_json_filename` |
 *
 * If there is no exact rewriting, other-ways.ts has the case: a rule leaves something open there, and policy notes say so.
 */
import { readArguments } from './argument-text.js';
import type { Leaf } from './arguments.js';
import { withoutEmptyParts } from './file-name.js';

/** Longer texts of options are no image's name: they are not taken apart. */
const LONGEST_NESTED = 65_536;
/** Texts of options in one command. */
const MOST_NESTED = 64;

/**
 * @param command its name
 * @param written its arguments as its client wrote them
 * @returns the other ways to write them; null if they cannot be found out
 */
export function otherSpellings(command: string, written: readonly Leaf[]): Leaf[] | null {
  const others: Leaf[] = [];
  switch (command) {
    case 'migrate':
    case 'migrate-incoming':
      spellAddresses(written, others);
      break;
    case 'block-dirty-bitmap-merge':
    case 'block-export-add':
      for (const { path, text } of written) {
        if (path[0] !== 'bitmaps') continue;
        if (path.length === 2) others.push({ path: [...path, 'name'], text });
        else if (path[2] === 'name') others.push({ path: path.slice(0, 2), text });
      }
      break;
    case 'device_add':
      for (const leaf of written) spellDevice(leaf, others);
      break;
    case 'device_del':
    case 'device-sync-config':
    case 'eject':
    case 'blockdev-open-tray':
    case 'blockdev-close-tray':
    case 'blockdev-insert-medium':
    case 'blockdev-remove-medium':
    case 'blockdev-change-medium':
    case 'block_set_io_throttle':
    case 'block-latency-histogram-set':
      for (const { path, text } of written) {
        if (path.length === 1 && path[0] === 'id') spellId(text, others);
      }
      break;
    case 'object-add':
      for (const { path, text } of written) {
        others.push({ path: path[0] === 'props' ? path.slice(1) : ['props', ...path], text });
      }
  }
  return takeApart([...written, ...others], others) ? others : null;
}

/** A channel's address: its members by name, and the command that it executes. */
interface Address {
  readonly members: Map<string, string>;
  readonly args: string[];
}

function spellAddresses(written: readonly Leaf[], others: Leaf[]): void {
  const addresses = new Map<string, Address>();
  for (const { path, text } of written) {
    const [argument, index = '', part, member = ''] = path;
    if (argument === 'uri' && path.length === 1) spellUri(text, others);
    if (argument !== 'channels' || part !== 'addr') continue;
    let address = addresses.get(index);
    if (address === undefined) addresses.set(index, (address = { members: new Map(), args: [] }));
    if (member === 'args') address.args.push(text);
    else address.members.set(member, text);
  }
  for (const address of addresses.values()) {
    for (const text of urisOf(address)) others.push({ path: ['uri'], text });
  }
}

/** @returns the equivalent `uri`; several if there are several */
function urisOf({ members, args }: Address): string[] {
  const member = (name: string): string => members.get(name) ?? '';
  const host = member('host');
  const places = host.includes(':')
    ? [`[${host}]:${member('port')}`, `${host}:${member('port')}`]
    : [`${host}:${member('port')}`];
  const transport = member('transport');
  switch (transport) {
    case 'exec': {
      const [shell, option, line = ''] = args;
      const isLine = args.length === 3 && shell === '/bin/sh' && option === '-c';
      return [`exec:${args.join(' ')}`, ...(isLine ? [`exec:${line}`] : [])];
    }
    case 'rdma':
      return places.map((place) => `rdma:${place}`);
    case 'file': {
      const offset = members.get('offset');
      return [
        `file:${member('filename')}`,
        ...(offset === undefined ? [] : [`file:${member('filename')},offset=${offset}`]),
      ];
    }
    case 'socket':
      switch (member('type')) {
        case 'inet':
          return places.map((place) => `tcp:${place}`);
        case 'unix':
          return [`unix:${member('path')}`];
        case 'vsock':
          return [`vsock:${member('cid')}:${member('port')}`];
        default:
          return [`${member('type')}:${member('str')}`];
      }
    default:
      return [`${transport}:`];
  }
}

function spellUri(uri: string, others: Leaf[]): void {
  const add = (member: string, text: string): void => {
    others.push({ path: ['channels', '0', 'addr', ...member.split('.')], text });
  };
  const colon = uri.indexOf(':');
  const scheme = uri.slice(0, colon);
  const rest = uri.slice(colon + 1);
  const beforeOptions = rest.split(',', 1)[0] ?? '';
  const hostEnd = beforeOptions.startsWith('[') ? beforeOptions.indexOf(']') + 1 : beforeOptions.indexOf(':');
  const host = beforeOptions.slice(0, Math.max(hostEnd, 0));
  const port = beforeOptions.slice(hostEnd + 1);
  others.push({ path: ['channels', '0', 'channel-type'], text: 'main' });
  switch (scheme) {
    case 'exec':
      add('transport', 'exec');
      for (const [index, text] of ['/bin/sh', '-c', rest].entries()) add(`args.${index}`, text);
      break;
    case 'file':
      add('transport', 'file');
      add('filename', beforeOptions);
      add('filename', rest);
      break;
    case 'tcp':
    case 'rdma':
      add('transport', scheme === 'tcp' ? 'socket' : 'rdma');
      if (scheme === 'tcp') add('type', 'inet');
      add('host', host.startsWith('[') ? host.slice(1, -1) : host);
      add('port', port);
      break;
    case 'vsock':
      add('transport', 'socket');
      add('type', 'vsock');
      add('cid', host);
      add('port', port);
      break;
    case 'unix':
    case 'fd':
      add('transport', 'socket');
      add('type', scheme);
      add(scheme === 'unix' ? 'path' : 'str', rest);
      if (scheme === 'unix') add('path', beforeOptions);
  }
}

const PERIPHERAL = '/machine/peripheral/';

function spellId(text: string, others: Leaf[]): void {
  const path = withoutEmptyParts(text);
  const other = path.startsWith(PERIPHERAL) ? path.slice(PERIPHERAL.length) : PERIPHERAL + text;
  others.push({ path: ['id'], text: other });
}

/** The words that QEMU's options take for true and for false (util/cutils.c, `qapi_bool_parse`). */
const SWITCHES: readonly (readonly string[])[] = [
  ['true', 'on', 'yes', 'y'],
  ['false', 'off', 'no', 'n'],
];

/** Other names of device types, and the part after `virtio-…` in their own (system/qdev-monitor.c, from 4.0 to 11.1). */
const DEVICE_ALIASES: readonly (readonly [alias: string, name: string])[] = [
  ['ac97', 'AC97'],
  ['ahci', 'ich9-ahci'],
  ['e1000-82540em', 'e1000'],
  ['es1370', 'ES1370'],
  ['lsi', 'lsi53c895a'],
];
const TRANSPORTS = ['-pci', '-ccw', '-device'] as const;

function spellDevice({ path, text }: Leaf, others: Leaf[]): void {
  for (const words of SWITCHES) {
    if (words.includes(text)) for (const word of words) if (word !== text) others.push({ path, text: word });
  }
  if (path.length !== 1 || path[0] !== 'driver') return;
  for (const [alias, name] of DEVICE_ALIASES) {
    if (text === alias) others.push({ path, text: name });
    if (text === name) others.push({ path, text: alias });
  }
  if (!text.startsWith('virtio-')) return;
  const ending = TRANSPORTS.find((each) => text.endsWith(each));
  if (ending !== undefined) others.push({ path, text: text.slice(0, -ending.length) });
  else for (const each of TRANSPORTS) others.push({ path, text: text + each });
}

/**
 * Takes the options of names such as `json:{"driver":"file","filename":"/x"}` apart. The names in them are judged as the whole is, too.
 * @returns whether that was possible
 */
function takeApart(leaves: readonly Leaf[], others: Leaf[]): boolean {
  const waiting = leaves.filter(({ text }) => text.includes(JSON_NAME));
  let nested = 0;
  for (let leaf = waiting.pop(); leaf !== undefined; leaf = waiting.pop()) {
    const { path, text } = leaf;
    if (text.length > LONGEST_NESTED) return false;
    for (let at = text.indexOf(JSON_NAME); at >= 0; at = text.indexOf(JSON_NAME, at + 1)) {
      if (++nested > MOST_NESTED) return false;
      const list = readArguments(text.slice(at + JSON_NAME.length));
      if (list === null) continue;
      const inside = list.leaves();
      if (inside === null) return false;
      for (const each of inside) {
        const found = { path: [...path, ...each.path], text: each.text };
        others.push(found);
        if (FILE_MEMBERS.has(each.path[each.path.length - 1] ?? '')) others.push({ path, text: each.text });
        if (each.text.includes(JSON_NAME)) waiting.push(found);
      }
    }
  }
  return true;
}

const JSON_NAME = 'json:';

/** @returns whether a text holds options that could be taken apart: then the parts are looked at instead */
export function isTakenApart(text: string): boolean {
  return (
    text.startsWith(JSON_NAME) && text.length <= LONGEST_NESTED && readArguments(text.slice(JSON_NAME.length)) !== null
  );
}

/** Members that name files, devices or sockets, in any command of QEMU 7.2 to 11.1. */
export const FILE_MEMBERS: ReadonlySet<string> = new Set([
  'backing-file',
  'base',
  'conf',
  'config',
  'device',
  'dh-cert-file',
  'dir',
  'downscript',
  'evdev',
  'file',
  'filename',
  'helper',
  'in',
  'logfile',
  'mem-path',
  'mountpoint',
  'out',
  'path',
  'protocol',
  'script',
  'server',
  'session-file',
  'smb',
  'snapshot-file',
  'str',
  'target',
  'top',
  'uri',
]);
