/**
 * Names and passwords for libvirt daemons, from the file that libvirt's own clients read (its auth.html): the one that LIBVIRT_AUTH_FILE
 * names, else the URI's `authfile`, else libvirt/auth.conf in the user's settings, else /etc/libvirt/auth.conf. It is read for each log-in.
 *
 *     [credentials-NAME]
 *     authname=…
 *     password=…
 *     [auth-libvirt-HOST]
 *     credentials=NAME
 */

import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { userFolder } from '../address/libvirt-conf.js';
import type { Credentials } from './sasl.js';

const SYSTEM_FILE = '/etc/libvirt/auth.conf';

/** @param named the URI's `authfile`, or null */
export function credentialsFile(named: string | null, environment: NodeJS.ProcessEnv = process.env): string {
  const first = environment['LIBVIRT_AUTH_FILE'] ?? '';
  if (first !== '') return first;
  if (named !== null) return named;
  const own = join(userFolder(environment), 'auth.conf');
  try {
    accessSync(own, constants.R_OK);
    return own;
  } catch {
    return SYSTEM_FILE;
  }
}

/** @returns the user and password for the libvirt of `host`, or the fault; never a part of a line that may be secret. */
export function readCredentials(file: string, host: string): Credentials | string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? `there is no ${file}` : `${file}: ${describeSystemError(error)}`;
  }
  const groups = readGroups(text);
  if (typeof groups === 'number') return `${file}: line ${groups} is not [group], name=value or # comment`;
  const names = [`auth-libvirt-${host}`, 'auth-libvirt-default'];
  const group = names.find((name) => groups.has(name));
  if (group === undefined) return `${file} has no group ${names.map((name) => `[${name}]`).join(' or ')}`;
  const set = groups.get(group)?.get('credentials');
  if (set === undefined) return `${file}: [${group}] has no line credentials=NAME`;
  const values = groups.get(`credentials-${set}`);
  if (values === undefined) return `${file} has no group [credentials-${set}], which [${group}] names`;
  const name = values.get('authname') ?? values.get('username');
  const password = values.get('password');
  if (name === undefined) return `${file}: [credentials-${set}] has no line authname=…`;
  if (password === undefined) return `${file}: [credentials-${set}] has no line password=…`;
  return { name, password };
}

/**
 * Looks at who else could read passwords, by the rule of ssh for keys; but a file of somebody else's may be ours to read by its group.
 * @param user ours
 * @returns the file's mode, such as `0644`, if more than its reader has rights to it; null otherwise
 */
export function exposedMode(file: string, user: number | undefined = process.geteuid?.()): string | null {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isFile() !== true) return null;
  const tooMany = found.uid === user ? 0o077 : 0o007;
  return (found.mode & tooMany) === 0 ? null : `0${(found.mode & 0o777).toString(8).padStart(3, '0')}`;
}

/** Reads a file of GLib's form. @returns groups of values by name, or the number of the first line that is none of it */
function readGroups(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> | number {
  const groups = new Map<string, Map<string, string>>();
  let group: Map<string, string> | null = null;
  for (const [at, line] of text.split('\n').entries()) {
    const start = line.trimStart();
    if (start === '' || start.startsWith('#')) continue;
    const [, name] = /^\[([^[\]]+)\]\s*$/.exec(start) ?? [];
    if (name !== undefined) {
      group = groups.get(name) ?? new Map<string, string>();
      groups.set(name, group);
      continue;
    }
    const equals = start.indexOf('=');
    if (equals < 1 || group === null) return at + 1;
    // Blanks at the end of a value belong to it.
    group.set(start.slice(0, equals).trimEnd(), unescape(start.slice(equals + 1).trimStart()));
  }
  return groups;
}

const ESCAPES = new Map([
  ['s', ' '],
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
]);

function unescape(value: string): string {
  return value.replace(/\r$/, '').replaceAll(/\\(.)/g, (_, letter: string) => ESCAPES.get(letter) ?? letter);
}
