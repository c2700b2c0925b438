/**
 * Which file of src imports which, read from the text of the files: static imports, `export … from`, `import()` and imports of types alike.
 *
 * It relies on how the formatter writes them: a static import begins its line and ends in `from '…'`.
 */
import { dirname, join } from 'node:path/posix';

/** The files that each file imports, by its path. The order is that of the input. */
export type ImportGraph = ReadonlyMap<string, ReadonlySet<string>>;

/** `import '…'`, and the last line of `import … from '…'` or `export … from '…'`. */
const STATIC = /^(?:import|(?:import|export|\}) .*from) '(\.[^']*)'/gm;
/** `import(…)`, as an expression or as a type; what it imports may be one of several texts in it. */
const DYNAMIC = /\bimport\(([^)]*)/g;

/**
 * @param files text by path, below one folder and with `/`
 * @returns each file with what it imports by relative path
 */
export function importGraph(files: ReadonlyMap<string, string>): ImportGraph {
  const graph = new Map<string, ReadonlySet<string>>();
  for (const [path, text] of files) {
    const dynamic = [...text.matchAll(DYNAMIC)].flatMap(([, inside = '']) => [...inside.matchAll(/'(\.[^']*)'/g)]);
    const imported = [...text.matchAll(STATIC), ...dynamic].map(([, name = '']) =>
      join(dirname(path), name).replace(/\.js$/, '.ts'),
    );
    graph.set(path, new Set(imported));
  }
  return graph;
}

/** @returns the folders that each folder's files import from, itself left out */
export function folderGraph(files: ImportGraph): ImportGraph {
  const graph = new Map<string, Set<string>>();
  for (const [path, imports] of files) {
    const folder = dirname(path);
    const others = graph.get(folder) ?? new Set();
    for (const imported of imports) if (dirname(imported) !== folder) others.add(dirname(imported));
    graph.set(folder, others);
  }
  return graph;
}

/**
 * Tarjan's algorithm.
 *
 * @returns each largest set of two nodes or more that lead to one another; sorted, sets and all
 */
export function circles(graph: ImportGraph): string[][] {
  const found: string[][] = [];
  const index = new Map<string, number>();
  const lowest = new Map<string, number>();
  const path: string[] = [];
  const visit = (node: string): number => {
    const own = index.size;
    index.set(node, own);
    lowest.set(node, own);
    path.push(node);
    let low = own;
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) low = Math.min(low, visit(next));
      else if (path.includes(next)) low = Math.min(low, lowest.get(next) ?? own);
      lowest.set(node, low);
    }
    if (low === own) {
      const circle = path.splice(path.indexOf(node));
      if (circle.length > 1) found.push(circle.toSorted());
    }
    return low;
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return found.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1));
}
