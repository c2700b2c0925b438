/** Shows a long text in the user's pager. */
import { spawn } from 'node:child_process';

/** `less`, unless PAGER names another; null where that is set to nothing, or to `cat`. */
export function pagerCommand(): string | null {
  const pager = process.env['PAGER'] ?? 'less';
  return pager === '' || pager === 'cat' ? null : pager;
}

/**
 * The terminal must be free: nobody else reads from it.
 * @returns whether it was shown; false where there is no such program
 */
export async function page(command: string, text: string): Promise<boolean> {
  // As git has it: colours, no paging of text that fits, and the text stays on the screen. `-RFX`, for any program that is less.
  const env = { LESS: 'RFX', ...process.env };
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'inherit', 'inherit'], env });
  child.stdin.on('error', () => {}); // left before the end
  child.stdin.end(text);
  // Ctrl-C is the pager's.
  const ignore = () => {};
  process.on('SIGINT', ignore);
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('close', resolve);
  });
  process.off('SIGINT', ignore);
  return code !== 126 && code !== 127;
}
