/** Arguments that come as a text: options in the name of an image (`json:{…}`), and questions to a policy without a client. */
import { Parser } from '../../qmp/json/parser.js';
import { Scan, Scanner } from '../../qmp/json/scanner.js';
import { encode } from '../../qmp/json/unicode.js';
import { ArgumentList } from './arguments.js';

/**
 * @param text a JSON object as QEMU reads them, and maybe more after it
 * @returns its members as arguments; null if it is none
 */
export function readArguments(text: string): ArgumentList | null {
  const bytes: number[] = [];
  encode(text, bytes);
  const scanner = new Scanner();
  scanner.push(Uint8Array.from(bytes));
  if (scanner.next() !== Scan.Message) return null;
  const parser = new Parser();
  parser.parse(scanner.bytes, scanner.tokens);
  if (parser.error !== null || !parser.isObject) return null;
  return new ArgumentList(scanner.bytes, scanner.tokens, parser, 0);
}
