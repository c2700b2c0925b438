/** Users and groups of this host by name, from /etc/passwd and /etc/group. Accounts that live elsewhere (LDAP) go by number. */
import { readFileSync, statSync } from 'node:fs';

const PASSWD = '/etc/passwd';

/** @returns the uid of `user`, a name or a number; null when there is none of that name. */
export function userId(user: string): number | null {
  return idOf(user, PASSWD);
}

/** @returns the gid of `group`, a name or a number; null when there is none of that name. */
export function groupId(group: string): number | null {
  return idOf(group, '/etc/group');
}

/** The content of /etc/passwd when read last: names by uid. A daemon asks for every client. */
let known: { readonly version: string; readonly names: ReadonlyMap<number, string> } = {
  version: '',
  names: new Map(),
};

/** @returns the name of the user `uid`; null when it has none here. */
export function userName(uid: number): string | null {
  try {
    const { ino, size, mtimeMs } = statSync(PASSWD);
    const version = `${ino} ${size} ${mtimeMs}`;
    if (version !== known.version) known = { version, names: readNames() };
  } catch {
    return null;
  }
  return known.names.get(uid) ?? null;
}

function readNames(): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of readFileSync(PASSWD, 'utf8').split('\n')) {
    const [name = '', , id = ''] = line.split(':');
    // Of two names for a number the first counts, as for getpwuid(3).
    if (name !== '' && /^\d{1,10}$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}

function idOf(name: string, file: string): number | null {
  if (/^\d{1,9}$/.test(name)) return Number(name);
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8').split('\n');
  } catch {
    return null;
  }
  for (const line of lines) {
    // name:password:id:… in both files (passwd(5), group(5))
    const [entry, , id] = line.split(':');
    if (entry === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return null;
}
