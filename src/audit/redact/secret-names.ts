/**
 * Names that mark their value as a secret: of members, options and parts of an URL. People and programs misspell names, and QEMU
 * then refuses the command when its secret has been recorded already. So a name need only be near to one of these.
 *
 * Not among them are the many names of members that hold the id of a secret object (`key-secret`, `passwordid` …): they show which
 * secret was used.
 */

/** @returns the part after the last dot of a path or a dotted option. */
export function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** Longer names are not compared letter by letter. */
const LONGEST_NAME = 64;
const MOST_REMEMBERED = 1024;

/** Whole names, without hyphens, underscores and digits, and how many letters may be wrong. */
const NEAR_NAMES: readonly (readonly [name: string, errors: number])[] = [
  ['password', 2],
  ['passphrase', 2],
  ['passwd', 1],
  ['cookie', 1],
  ['token', 1],
  ['apikey', 0],
  ['accesskey', 0],
  ['secretkey', 0],
  ['privatekey', 0],
  ['credential', 1],
  ['credentials', 1],
  ['pass', 0],
  ['pwd', 0],
  ['pswd', 0],
  ['psw', 0],
  ['pw', 0],
  ['psk', 0],
  ['osk', 0],
];
/** Letters within a name. */
const WITHIN = ['passw', 'passphrase', 'cookie', 'apikey', 'authtoken', 'accesstoken'];
/** Names that end so name an object that holds the secret. */
const REFERENCE = ['secret', 'id', 'file', 'path', 'creds', 'authz'];

/** The meaning of a member's name for its value, or for the members beside it: bits. */
export const NameClass = {
  /** The value is a secret. */
  Secret: 1,
  /** It is `data`, or near to it: a secret in an object that is one. */
  Data: 2,
  /** The value is a line of HMP. */
  Line: 4,
  /** The value says of which kind an object is that is made. */
  Kind: 8,
  /** The value is the name of a property. */
  Property: 16,
  /** A text given by a client under this name is a secret; in an answer from QEMU it may be something else. */
  Parameter: 32,
} as const;

const known = new Map<string, number>();

/** @returns the meaning of `name`, or of a name it may be a misspelling of, in bits of `NameClass`. */
export function classOfName(name: string): number {
  if (name.length > LONGEST_NAME) {
    const last = lastPart(name);
    return judge(last.slice(-LONGEST_NAME)) || judge(last.slice(0, LONGEST_NAME)) ? NameClass.Secret : 0;
  }
  const remembered = known.get(name);
  if (remembered !== undefined) return remembered;
  if (known.size >= MOST_REMEMBERED) known.clear();
  const last = lastPart(name);
  const letters = lettersOf(last);
  let found = judge(last) || isElementOfSecret(name) ? NameClass.Secret : 0;
  if (isSecretArgument(last)) found |= NameClass.Parameter;
  // The clock's date is a property too.
  if (letters.length >= 3 && letters !== 'date' && isNear(letters, 'data', 1)) found |= NameClass.Data;
  if (isNear(letters, 'commandline', 2)) found |= NameClass.Line;
  if (isNear(letters, 'qomtype', 2)) found |= NameClass.Kind;
  if (isNear(letters, 'property', 2)) found |= NameClass.Property;
  known.set(name, found);
  return found;
}

/** @returns whether a dotted option is an element of a secret: `password.0`, or has a dot too many. */
function isElementOfSecret(name: string): boolean {
  const parts = name.split('.');
  while (parts.length > 1 && /^\d*$/.test(parts.at(-1) ?? '')) parts.pop();
  return judge(parts.at(-1) ?? '') || judge(parts.at(-2) ?? '');
}

/** @returns whether the last word of a member's name is one that clients give secrets under: `session-key`, `sig`, `passcode`. */
function isSecretArgument(name: string): boolean {
  const letters = lettersOf(name);
  if (REFERENCE.some((end) => letters.endsWith(end))) return false;
  return GIVEN.has(letters) || isSecretParameterWord(lastWord(name).toLowerCase());
}

function lastWord(name: string): string {
  const end = /[a-z]+$|[A-Z]+[a-z]*$/.exec(name.slice(-LONGEST_NAME).replace(/[^A-Za-z]+$/, ''));
  return end?.[0] ?? '';
}

/** @returns whether a member or an option called `name` holds a secret, or may be meant for one that does. */
export function isSecretName(name: string): boolean {
  return (classOfName(name) & NameClass.Secret) !== 0;
}

function judge(name: string): boolean {
  const letters = lettersOf(name);
  if (letters.length < 2) return false;
  if (isNear(letters, 'secret', 1)) return true;
  if (REFERENCE.some((end) => letters.endsWith(end))) return false;
  return (
    NEAR_NAMES.some(([near, errors]) => isNear(letters, near, errors)) || WITHIN.some((part) => letters.includes(part))
  );
}

/** @returns the letters of `name`, in lower case. */
export function lettersOf(name: string): string {
  let letters = '';
  for (const character of name.toLowerCase()) if (character >= 'a' && character <= 'z') letters += character;
  return letters;
}

/** Names in one word, and of more than a parameter of an URL. */
const GIVEN: ReadonlySet<string> = new Set(
  'pin passcode privkey sshkey lukskey masterkey sessionkey encryptionkey decryptionkey keydata secretdata keyvaluepairs chappass'.split(
    ' ',
  ),
);

/** Words in the name of a URL's parameter, or of an option of a file name, that mark its value as a secret. */
const PARAMETER_WORDS: ReadonlySet<string> = new Set(
  'sig signature auth authorization key apikey token jwt sas hmac secret password passwd pass pwd passphrase pw psk credential credentials cred cookie session bearer ticket otp passcode'.split(
    ' ',
  ),
);
const WITHIN_PARAMETER = ['passw', 'secret', 'token', 'signature', 'credential', 'apikey'];

function isSecretParameterWord(word: string): boolean {
  return PARAMETER_WORDS.has(word);
}

/** @param name as in an URL, `%` escapes included. @returns whether the value of such a parameter is a secret. */
export function isSecretParameter(name: string): boolean {
  if (name.length > LONGEST_NAME) return false;
  const plain = name.includes('%') ? withoutEscapes(name) : name;
  const lower = plain.toLowerCase();
  if (WITHIN_PARAMETER.some((part) => lower.includes(part)) || isSecretName(plain)) return true;
  let word = '';
  for (const character of `${plain}.`) {
    const isLetter = /[a-z]/i.test(character);
    const isCapital = isLetter && character === character.toUpperCase();
    if (!isLetter || (isCapital && word !== '' && word !== word.toUpperCase())) {
      if (PARAMETER_WORDS.has(word.toLowerCase())) return true;
      word = '';
    }
    if (isLetter) word += character;
  }
  return false;
}

function withoutEscapes(name: string): string {
  return name.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** @returns whether at most `errors` letters have to be added, dropped, changed or exchanged with their neighbour to make `word` of `text`. */
export function isNear(text: string, word: string, errors: number): boolean {
  if (text === word) return true;
  if (errors === 0 || Math.abs(text.length - word.length) > errors) return false;
  let before: number[] = [];
  let previous = Array.from({ length: word.length + 1 }, (_, index) => index);
  for (let i = 1; i <= text.length; i++) {
    const row = [i];
    for (let j = 1; j <= word.length; j++) {
      const isSame = text[i - 1] === word[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && text[i - 1] === word[j - 2] && text[i - 2] === word[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return (previous[word.length] ?? 0) <= errors;
}
