/**
 * What must not reach the audit log: one row a place where a secret can stand, with the part of QEMU's schema it comes from
 * (version 7.2 unless said; later versions add nothing that these rows do not cover). Not in here are the many members that
 * only name a secret object (`key-secret`, `password-secret`, `cookie-secret`, `tls-creds`, `passwordid` …): they are what
 * shows that a secret was used, and which.
 */

/** What is taken out at a row's place. */
export type Removal =
  /** The whole value. */
  | { readonly kind: 'value' }
  /** The value, if member `sibling` of the same object names a secret: see `isSecretProperty`. */
  | { readonly kind: 'value-if'; readonly sibling: string }
  /** The value, unless it is text that `pattern` matches. */
  | { readonly kind: 'value-unless'; readonly pattern: RegExp }
  /** The value is a line of HMP, with secrets of its own: see hmp-redaction.ts. */
  | { readonly kind: 'hmp' };

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
 * QEMU adds is not in the log before it is in here. A kind matches the longest name that it begins with.
 * Source: qapi/crypto.json (SecretProperties, SecretKeyringProperties, TlsCreds…Properties), qapi/authz.json, qapi/qom.json.
 */
export const SECRET_OBJECTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['secret', ['format', 'file', 'keyid', 'iv', 'loaded']],
  ['secret_keyring', ['format', 'serial', 'keyid', 'iv', 'loaded']],
  ['tls-creds', ['endpoint', 'dir', 'verify-peer', 'priority', 'loaded', 'sanity-check', 'username', 'passwordid']],
  ['authz', ['identity', 'policy', 'rules', 'filename', 'refresh', 'service']],
]);
/** Members that any object has. */
export const COMMON_OBJECT_MEMBERS: readonly string[] = ['qom-type', 'id', 'props'];

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
    command: 'block_passwd',
    path: 'arguments.password',
    removal: value,
    source: 'qapi/block-core.json, block_passwd (until 6.0)',
  },
  {
    command: 'qom-set',
    path: 'arguments.value',
    removal: { kind: 'value-if', sibling: 'property' },
    source: 'qapi/qom.json, qom-set; crypto/secret.c, property data',
  },
  {
    command: 'human-monitor-command',
    path: '**.command-line',
    removal: { kind: 'hmp' },
    source: 'qapi/misc.json, human-monitor-command; hmp-commands.hx',
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
  // What follows needs no name of a command: the same options are in blockdev-add, blockdev-reopen, blockdev-create, the
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

/** Members that hold a secret wherever they stand, also as the last part of a dotted option (`file.cookie`). */
export const SECRET_MEMBERS: ReadonlySet<string> = new Set(
  REDACTION_RULES.filter((rule) => rule.command === '*').map((rule) => lastPart(rule.path)),
);

/** @returns what stands behind the last dot of a path or a dotted option. */
export function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** @returns whether a property of this name, of any object, holds a secret. */
export function isSecretProperty(name: string): boolean {
  const last = lastPart(name);
  return SECRET_MEMBERS.has(last) || last === 'data' || last === 'secret';
}

/** @returns the members that are harmless in an object of this kind, or null when it is not made of secrets. */
export function harmlessMembers(qomType: string): ReadonlySet<string> | null {
  let longest = '';
  for (const name of SECRET_OBJECTS.keys())
    if (qomType.startsWith(name) && name.length > longest.length) longest = name;
  const own = SECRET_OBJECTS.get(longest);
  return own === undefined ? null : new Set([...COMMON_OBJECT_MEMBERS, ...own]);
}

/** Commands whose answers are looked through too: they hold file names, which may hold passwords, or properties. */
export const TELLTALE_ANSWERS: ReadonlySet<string> = new Set([
  'qom-get',
  'qom-list-get',
  'human-monitor-command',
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
  'human-monitor-command',
  '=keyvalue-pairs',
  ':key=',
  'change-vnc',
  '://',
];
