/**
 * @param message JSON text on one line, as QEMU writes it
 * @returns the text that a monitor with `pretty=on` writes for it (qobject/json-writer.c): every member and item on a line of
 *   its own, even the end of an empty object
 */
export function prettyLines(message: string): string {
  let text = '';
  let depth = 0;
  for (let at = 0; at < message.length; at++) {
    const character = message[at] ?? '';
    if (character === '"') {
      const from = at++;
      for (; message[at] !== '"'; at++) if (message[at] === '\\') at++;
      text += message.slice(from, at + 1);
    } else if (character === '{' || character === '[') {
      depth++;
      const isEmpty = message[at + 1] === '}' || message[at + 1] === ']';
      text += isEmpty ? character : character + lineBreak(depth);
    } else if (character === '}' || character === ']') text += lineBreak(--depth) + character;
    else if (character === ',') {
      text += `,${lineBreak(depth)}`;
      at++; // the blank that follows on one line
    } else text += character;
  }
  return text;
}

function lineBreak(depth: number): string {
  return `\r\n${'    '.repeat(depth)}`;
}
