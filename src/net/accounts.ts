/** Users and groups of this host by name, from /etc/passwd and /etc/group. Accounts that live elsewhere (LDAP) go by number. */
import { readFileSync } from 'node:fs';

/** @returns the uid of `user`, a name or a number; null when there is none of that name. */
export function userId(user: string): number | null {
  return idOf(user, '/etc/passwd');
}

/** @returns the gid of `group`, a name or a number; null when there is none of that name. */
export function groupId(group: string): number | null {
  return idOf(group, '/etc/group');
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
