/**
 * Secrets that must not reach the audit log: one row for each place that can hold one, with the part of QEMU's schema it comes from
 * (version 7.2 unless said; later versions add nothing that these rows do not cover). Not in here are the many members that only name a
 * secret object (`key-secret`, `password-secret`, `cookie-secret`, `tls-creds`, `passwordid` …): they show that a secret was used, and
 * which.
 */

import { classOfName, isNear, lastPart, lettersOf, NameClass } from './secret-names.js';

/** The part removed at a row's place. */
type Removal =
  /** The whole value. */
  | { readonly kind: 'value' }
  /** The value, if member `sibling` of the same object names a secret: see `isSecretProperty`. */
  | { readonly kind: 'value-if'; readonly sibling: 'target' | 'property' | 'name' }
  /** The value, unless it is text that `pattern` matches. */
  | { readonly kind: 'value-unless'; readonly pattern: RegExp }
  /** The value is a text `NAME=VALUE`, and goes from the `=` on if its name says that it is a secret. */
  | { readonly kind: 'assignment' }
  /** The value is a line of HMP, whose secrets hmp-redaction.ts finds. */
  | { readonly kind: 'hmp' }
  /** The value is an answer of HMP, which may list properties: `name = value`. */
  | { readonly kind: 'hmp-answer' };

export interface RedactionRule {
  /** A command's name; `*` for any, or `*` within a name for any part of it. */
  readonly command: string;
  /**
   * Where in the message: member names and list indexes joined by dots; `*` is any one of them, `**` any number. Rows that begin with
   * `return` or `error` are about the answer.
   */
  readonly path: string;
  readonly removal: Removal;
  /** Where this is known from. */
  readonly source: string;
}

const value: Removal = { kind: 'value' };

/**
 * Objects made of secrets, and the members of each kind that are harmless: all others are removed, so that a property that a later
 * QEMU adds is not in the log before it is in here. A kind matches the longest name that it begins with, or that it is near to.
 * Source: qapi/crypto.json (SecretProperties, SecretKeyringProperties, TlsCreds…Properties), qapi/authz.json, qapi/qom.json (SevGuestProperties
 * and SevSnpGuestProperties, 11.1: certificate and session come in files, but may be given in their place by mistake).
 */
export const SECRET_OBJECTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['secret', ['format', 'file', 'keyid', 'iv', 'loaded']],
  ['secret_keyring', ['format', 'serial', 'keyid', 'iv', 'loaded']],
  ['tls-creds', ['endpoint', 'dir', 'verify-peer', 'priority', 'loaded', 'sanity-check', 'username', 'passwordid']],
  ['authz', ['identity', 'policy', 'rules', 'filename', 'refresh', 'service']],
  [
    'sev-',
    'sev-device cbitpos reduced-phys-bits kernel-hashes dh-cert-file session-file policy handle legacy-vm-type guest-visible-workarounds id-block id-auth author-key-enabled host-data vcek-disabled'.split(
      ' ',
    ),
  ],
]);

/**
 * Commands whose arguments are secrets except for these: misspelt ones are not kept. A command's name need only be near to one of them.
 * Source: qapi/ui.json, qapi/block-core.json (until 6.0), qapi/misc-i386.json, qga/qapi-schema.json. Data written by a guest's agent is a
 * secret, a program it runs is not.
 */
export const SECRET_COMMANDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['set_password', ['protocol', 'connected', 'display']],
  ['change-vnc-password', ['protocol', 'display']],
  ['expire_password', ['protocol', 'time', 'display']],
  ['block_passwd', ['device', 'node-name']],
  ['sev-inject-launch-secret', ['gpa']],
  ['guest-set-user-password', ['username', 'crypted']],
  ['guest-exec', ['path', 'arg', 'env', 'capture-output']],
  ['guest-file-write', ['handle', 'count']],
]);
/** Members that any object has. */
const COMMON_OBJECT_MEMBERS: readonly string[] = ['qom-type', 'id', 'props'];

export const REDACTION_RULES: readonly RedactionRule[] = [
  {
    command: 'set_password',
    path: 'arguments.password',
    removal: value,
    source: 'qapi/ui.json, SetPasswordOptions',
  },
  {
    command: 'change-vnc-password',
    path: 'arguments.password',
    removal: value,
    source: 'qapi/ui.json, change-vnc-password',
  },
  {
    command: 'change',
    path: 'arguments.arg',
    removal: { kind: 'value-if', sibling: 'target' },
    source: 'qapi/misc.json, change (until 6.0)',
  },
  {
    command: 'expire_password',
    path: 'arguments.time',
    removal: { kind: 'value-unless', pattern: /^(?:now|never|\+?\d{1,12})$/ },
    source: 'qapi/ui.json, ExpirePasswordOptions: has no password; what is no time may be one, put there by mistake',
  },
  {
    command: 'set_password',
    path: 'arguments.protocol',
    removal: { kind: 'value-unless', pattern: /^(?:vnc|spice)$/ },
    source: 'qapi/ui.json, DisplayProtocol: another text may be the password, exchanged with it',
  },
  {
    command: 'set_password',
    path: 'arguments.connected',
    removal: { kind: 'value-unless', pattern: /^(?:keep|fail|disconnect)$/ },
    source: 'qapi/ui.json, SetPasswordAction: the same',
  },
  {
    command: 'expire_password',
    path: 'arguments.protocol',
    removal: { kind: 'value-unless', pattern: /^(?:vnc|spice)$/ },
    source: 'qapi/ui.json, DisplayProtocol: the same',
  },
  {
    command: 'block_passwd',
    path: 'arguments.password',
    removal: value,
    source: 'qapi/block-core.json, block_passwd (until 6.0)',
  },
  {
    command: '*',
    path: '**.value',
    removal: { kind: 'value-if', sibling: 'property' },
    source: 'qapi/qom.json, qom-set; crypto/secret.c, property data',
  },
  {
    command: '*',
    path: '**.value',
    removal: { kind: 'value-if', sibling: 'name' },
    source: 'qapi/qom.json, ObjectPropertyValue: what qom-list-get answers (11.1)',
  },
  {
    command: '*',
    path: '**.command-line',
    removal: { kind: 'hmp' },
    source: 'qapi/misc.json, human-monitor-command; hmp-commands.hx',
  },
  {
    command: 'sev-inject-launch-secret',
    path: 'arguments.packet-header',
    removal: value,
    source: 'qapi/misc-target.json, sev-inject-launch-secret',
  },
  {
    command: 'sev-inject-launch-secret',
    path: 'arguments.secret',
    removal: value,
    source: 'qapi/misc-target.json, sev-inject-launch-secret',
  },
  {
    command: 'guest-set-user-password',
    path: 'arguments.password',
    removal: value,
    source: 'qga/qapi-schema.json: the guest agent speaks the same protocol',
  },
  {
    command: 'guest-exec',
    path: 'arguments.input-data',
    removal: value,
    source: 'qga/qapi-schema.json, guest-exec: what the program reads. Its path and arg are the deed, and shown',
  },
  {
    command: 'guest-exec',
    path: 'arguments.env.*',
    removal: { kind: 'assignment' },
    source: 'qga/qapi-schema.json, guest-exec: the environment of the program, NAME=VALUE',
  },
  {
    command: 'guest-exec',
    path: 'arguments.env',
    removal: { kind: 'assignment' },
    source: 'the same, its list forgotten',
  },
  {
    command: 'guest-file-write',
    path: 'arguments.buf-b64',
    removal: value,
    source: 'qga/qapi-schema.json, guest-file-write: what is written into a file of the guest',
  },
  // The next rows need no name of a command: the same options are in blockdev-add, blockdev-reopen, blockdev-create, the
  // x- commands and transaction, and device_add and netdev_add take any property.
  {
    command: '*',
    path: '**.cookie',
    removal: value,
    source: 'qapi/block-core.json, BlockdevOptionsCurlHttp and …Https: cookies in the clear',
  },
  {
    command: '*',
    path: '**.=keyvalue-pairs',
    removal: value,
    source: 'block/rbd.c: options out of an rbd: file name, its key among them',
  },
  { command: '*', path: '**.txcookie', removal: value, source: 'qapi/net.json, NetdevL2TPv3Options' },
  { command: '*', path: '**.rxcookie', removal: value, source: 'qapi/net.json, NetdevL2TPv3Options' },
  { command: '*', path: '**.osk', removal: value, source: 'hw/misc/applesmc.c, property osk' },
  {
    command: '*',
    path: '**.password',
    removal: value,
    source: 'block/iscsi.c (-iscsi), chardev and device properties, QEMUs of other vendors',
  },
  { command: '*', path: '**.passwd', removal: value, source: 'the same, otherwise spelled' },
  { command: '*', path: '**.passphrase', removal: value, source: 'the same, otherwise spelled' },
];

/** Rows that are about answers. */
export const ANSWER_RULES: readonly RedactionRule[] = [
  {
    command: 'human-monitor-command',
    path: 'return',
    removal: { kind: 'hmp-answer' },
    source: 'system/qdev-monitor.c, qdev_print_props: `info qtree` shows the osk of an applesmc',
  },
  {
    command: 'guest-exec-status',
    path: 'return.out-data',
    removal: value,
    source: 'qga/qapi-schema.json, GuestExecStatus: what a program of the guest has written',
  },
  {
    command: 'guest-exec-status',
    path: 'return.err-data',
    removal: value,
    source: 'qga/qapi-schema.json, GuestExecStatus: the same',
  },
  {
    command: 'guest-file-read',
    path: 'return.buf-b64',
    removal: value,
    source: 'qga/qapi-schema.json, GuestFileRead: what is in a file of the guest',
  },
];

/** Members that hold a secret in any place, also as the last part of a dotted option (`file.cookie`). */
export const SECRET_MEMBERS: ReadonlySet<string> = new Set(
  REDACTION_RULES.filter((rule) => rule.command === '*' && rule.removal.kind === 'value').map((rule) =>
    lastPart(rule.path),
  ),
);

export { lastPart };

/** @returns whether a property of this name, of any object, holds a secret, or may be meant for one that does. */
export function isSecretProperty(name: string): boolean {
  return (
    (classOfName(name) & (NameClass.Secret | NameClass.Data | NameClass.Parameter)) !== 0 ||
    SECRET_MEMBERS.has(lastPart(name).toLowerCase())
  );
}

/** @returns the members that are harmless in an object of this kind, or null when it is not made of secrets. */
export function harmlessMembers(qomType: string): ReadonlySet<string> | null {
  const kind = qomType.slice(0, LONGEST_KIND).toLowerCase().trim();
  let longest = '';
  for (const name of SECRET_OBJECTS.keys()) if (kind.startsWith(name) && name.length > longest.length) longest = name;
  if (longest === '') {
    const letters = lettersOf(kind);
    if (isNear(letters, 'secret', 2) || isNear(letters, 'secretkeyring', 3)) longest = 'secret';
    else if (isNear(letters.slice(0, 8), 'tlscreds', 2)) longest = 'tls-creds';
  }
  return HARMLESS.get(longest) ?? null;
}

const HARMLESS: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  [...SECRET_OBJECTS].map(([kind, own]) => [kind, new Set([...COMMON_OBJECT_MEMBERS, ...own])]),
);
const LONGEST_KIND = 64;

/** The meaning of a command's name for its arguments. */
export interface CommandClass {
  /** The arguments to keep of a command whose arguments are secrets, or null for another command. */
  readonly harmless: ReadonlySet<string> | null;
  /** Whether it is, or may be meant for, a command that makes objects; that reads or sets a property; that runs a line of HMP. */
  readonly makesObjects: boolean;
  readonly readsProperty: boolean;
  readonly setsProperty: boolean;
  readonly runsLine: boolean;
}

const NO_CLASS: CommandClass = {
  harmless: null,
  makesObjects: false,
  readsProperty: false,
  setsProperty: false,
  runsLine: false,
};
const knownCommands = new Map<string, CommandClass>();
const MOST_REMEMBERED = 512;

/** @param name of a command; it need only be near to the one that is meant */
export function classOfCommand(name: string): CommandClass {
  if (name.length > LONGEST_KIND) return NO_CLASS;
  const known = knownCommands.get(name);
  if (known !== undefined) return known;
  const letters = lettersOf(name);
  const secret = [...SECRET_COMMANDS].find(([each]) => each === name || isNear(letters, lettersOf(each), 2));
  const found = {
    harmless: secret === undefined ? null : new Set(secret[1]),
    makesObjects: isNear(letters, 'objectadd', 1),
    readsProperty: letters !== 'qomset' && isNear(letters, 'qomget', 1),
    setsProperty: letters !== 'qomget' && isNear(letters, 'qomset', 1),
    runsLine: isNear(letters, 'humanmonitorcommand', 2),
  };
  if (knownCommands.size >= MOST_REMEMBERED) knownCommands.clear();
  knownCommands.set(name, found);
  return found;
}

/** Commands whose answers hold properties, or data from the guest, and are always searched. */
export const PROPERTY_ANSWERS: ReadonlySet<string> = new Set([
  'qom-get',
  'qom-list-get',
  'guest-exec-status',
  'guest-file-read',
]);

/** Commands whose answers are looked through too: they hold file names, which may hold passwords, or other texts. */
export const TELLTALE_ANSWERS: ReadonlySet<string> = new Set([
  'human-monitor-command',
  'query-chardev',
  'query-replay',
  'query-block',
  'query-named-block-nodes',
  'query-blockstats',
  'query-block-jobs',
  'query-jobs',
]);

/**
 * Words that make unreadable input suspect: it cannot be searched for members, so where one of these occurs (after \u escapes
 * have been decoded), none of it is kept.
 */
export const SUSPECT_WORDS: readonly string[] = [
  'passw',
  'passphrase',
  'secret',
  'cookie',
  'osk',
  'object-add',
  'object_add',
  'qom-set',
  'qom-get',
  'command-line',
  'input-data',
  'buf-b64',
  'human-monitor-command',
  '=keyvalue-pairs',
  ':key=',
  'change-vnc',
  '://',
];
