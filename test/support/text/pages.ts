/** The pages of the documentation: the list of them, and their prose, headings, links and code. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The folder of the repository. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** @returns the paths of all pages from the root: those of `docs`, and those beside it */
export function pages(): readonly string[] {
  const inside = readdirSync(`${root}docs`, { recursive: true, encoding: 'utf8' }).map((name) => `docs/${name}`);
  return [...readdirSync(root), ...inside].filter((name) => name.endsWith('.md')).sort();
}

/** A line of a page that is no code. */
export interface PageLine {
  readonly text: string;
  /** From 1. */
  readonly number: number;
}

/** @returns the lines outside of code and comments, tables included */
export function linesOfText(page: string): readonly PageLine[] {
  const lines: PageLine[] = [];
  let end: RegExp | null = null;
  let isParagraph = false;
  for (const [index, text] of page.split('\n').entries()) {
    const begins = /^ *(?:(```|~~~)|<!--)/.exec(text);
    if (end !== null) {
      if (end.test(text)) end = null;
    } else if (begins !== null) {
      end = begins[1] === undefined ? /-->/ : new RegExp(`^ *${begins[1]}$`);
      if (begins[1] === undefined && text.includes('-->')) end = null;
    } else if (isParagraph || !text.startsWith('    ')) lines.push({ text, number: index + 1 });
    isParagraph = end === null && text.trim() !== '' && (isParagraph || !text.startsWith('    '));
  }
  return lines;
}

/** @returns the lines outside of code, tables and definitions of links */
export function proseLines(page: string): readonly PageLine[] {
  return linesOfText(page).filter(({ text }) => !/^\||^\[[^\]]+\]: /.test(text));
}

/** @returns the cells of a page's tables, by row, without their heads */
export function tableRows(page: string): readonly (readonly string[])[] {
  const lines = page.split('\n');
  const isRow = (line: string | undefined) => line?.startsWith('| ') === true;
  return lines
    .filter((line, index) => isRow(line) && isRow(lines[index - 1] ?? '|-') && !/^\| *-/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** @returns the texts between backquotes */
export function quoted(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, inner = '']) => inner);
}

/** @returns the anchors of a page's headings, as Git hosts make them */
export function anchors(page: string): ReadonlySet<string> {
  const made = new Set<string>();
  for (const { text } of linesOfText(page)) {
    const heading = /^#+ (.*)$/.exec(text)?.[1];
    if (heading === undefined) continue;
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    let unused = anchor;
    for (let count = 1; made.has(unused); count += 1) unused = `${anchor}-${count}`;
    made.add(unused);
  }
  return made;
}

/** @returns the targets of a page's links */
export function links(page: string): readonly string[] {
  const text = linesOfText(page)
    .map((line) => line.text)
    .join('\n')
    .replaceAll(/(`+)[^`][^]*?\1/g, '');
  const inline = [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)];
  const defined = [...text.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm)];
  return [...inline, ...defined].map(([, target = '']) => target);
}
