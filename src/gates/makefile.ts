export interface Target {
  readonly needs: string[];
  recipe: string[];
  /** Named again since its commands: those that come now take their place. */
  again: boolean;
}

export function targetsIn(makefile: string): ReadonlyMap<string, Target> {
  const targets = new Map<string, Target>();
  let open: readonly Target[] = [];
  for (const line of makefile.replaceAll('\\\n', ' ').split('\n')) {
    if (line.startsWith('\t')) {
      const command = line.trim().replace(/^@/, '');
      if (command === '') continue;
      for (const target of open) {
        target.recipe = target.again ? [command] : [...target.recipe, command];
        target.again = false;
      }
      continue;
    }
    const [, names, colons, needs = ''] = /^([\w./ -]{1,500}?)\s*(::?)(?!=)([^=]*)$/.exec(line.slice(0, 5_000)) ?? [];
    if (names === undefined) {
      if (line.trim() !== '' && !line.startsWith('#')) open = [];
      continue;
    }
    open = names.split(/\s+/).map((name) => {
      const target = targets.get(name) ?? { needs: [], recipe: [], again: false };
      targets.set(name, target);
      target.again = colons === ':' && target.recipe.length > 0;
      target.needs.push(...(needs.split('#')[0] ?? '').split(/\s+/).filter(Boolean));
      return target;
    });
  }
  return targets;
}
