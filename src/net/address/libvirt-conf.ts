/** libvirt.conf of libvirt's clients: names for URIs (`uri_aliases`), and the one that is meant when none is given (`uri_default`). */

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describeSystemError, errorCode } from '../../system/system-error.js';

/** A URI never looks like this. */
const ALIAS = /^[\w-]+$/;
/** Blanks and comments; a name; a string, in which nothing is escaped; the punctuation of lists; a number. */
const TOKEN = /\s+|#[^\n]*|([a-z_]\w*)[ \t]*=|"([^"\n]*)"|'([^'\n]*)'|[[\],]|-?\d+/iy;

interface LibvirtConf {
  readonly uriDefault: string | null;
  readonly aliases: ReadonlyMap<string, string>;
}

type ResolvedUri = { readonly ok: true; readonly uri: string } | { readonly ok: false; readonly problem: string };

/** @returns whether `text` may be the name of a URI in libvirt.conf. */
export function isAlias(text: string): boolean {
  return ALIAS.test(text);
}

/** @returns the folder where libvirt's clients keep a user's own settings. */
export function userFolder(environment: NodeJS.ProcessEnv): string {
  const settings = environment['XDG_CONFIG_HOME'] ?? '';
  return join(settings === '' ? join(environment['HOME'] ?? homedir(), '.config') : settings, 'libvirt');
}

function libvirtConfFile(environment: NodeJS.ProcessEnv = process.env): string {
  return process.getuid?.() === 0 ? '/etc/libvirt/libvirt.conf' : join(userFolder(environment), 'libvirt.conf');
}

/**
 * The URI that is meant, as for virsh.
 * @param given a URI, a name of libvirt.conf, or null for the default
 * @param file libvirt.conf; it need not be there
 */
export function resolveLibvirtUri(
  given: string | null,
  environment: NodeJS.ProcessEnv = process.env,
  file: string = libvirtConfFile(environment),
): ResolvedUri {
  const named = environment['LIBVIRT_DEFAULT_URI'] ?? '';
  const wanted = given ?? (named === '' ? null : named);
  if (wanted !== null && !isAlias(wanted)) return { ok: true, uri: wanted };
  const conf = readConf(file);
  if (typeof conf === 'string') return { ok: false, problem: `${file}: ${conf}` };
  const name = wanted ?? conf.uriDefault;
  if (name === null) return { ok: true, uri: process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session' };
  const uri = isAlias(name) ? conf.aliases.get(name) : name;
  if (uri !== undefined) return { ok: true, uri };
  return {
    ok: false,
    problem: `${JSON.stringify(name)} is neither a libvirt URI nor one of the uri_aliases in ${file}`,
  };
}

/** @returns the file's content, or its fault */
function readConf(file: string): LibvirtConf | string {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') return describeSystemError(error);
  }
  let uriDefault: string | null = null;
  const aliases = new Map<string, string>();
  let setting = '';
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const token = TOKEN.exec(text);
    if (token === null) return `line ${text.slice(0, at).split('\n').length} cannot be parsed`;
    const [, name, double, single] = token;
    const value = double ?? single;
    if (name !== undefined) setting = name;
    else if (value !== undefined && setting === 'uri_default') uriDefault = value;
    else if (value !== undefined && setting === 'uri_aliases') {
      const equals = value.indexOf('=');
      if (equals < 0) return `the alias ${JSON.stringify(value)} is not NAME=URI`;
      aliases.set(value.slice(0, equals), value.slice(equals + 1));
    }
  }
  return { uriDefault, aliases };
}
