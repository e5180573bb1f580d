/** Every id is `<prefix>_<26 Crockford base32 digits>`: 48 bits of time, then 80 of chance, so ids sort by birth. */
export const idPrefixes = {
  task: 'tsk',
  run: 'run',
  node: 'nod',
  request: 'req',
  workspace: 'wsp',
  checkpoint: 'chk',
  profile: 'prf',
  call: 'cal',
  delivery: 'inb',
  message: 'msg',
  todo: 'tdo',
  note: 'nte',
  key: 'key',
  session: 'ses',
} as const;

export type IdKind = keyof typeof idPrefixes;

const digits = '[0-7][0-9A-HJKMNP-TV-Z]{25}';

const idPattern = (kind: IdKind): RegExp => new RegExp(`^${idPrefixes[kind]}_${digits}$`);

const patterns = Object.fromEntries((Object.keys(idPrefixes) as IdKind[]).map((kind) => [kind, idPattern(kind)])) as Record<IdKind, RegExp>;

export const isId = (kind: IdKind, text: string): boolean => patterns[kind].test(text);

/** The kind an id claims to be, so that a run's id given for a task can be answered with more than "not found". */
export function kindOfId(text: string): IdKind | undefined {
  return (Object.keys(idPrefixes) as IdKind[]).find((kind) => isId(kind, text));
}
