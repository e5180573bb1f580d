import type { AuditLine, Page } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { misused } from './failure.ts';
import { oneLine, toJson } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { age } from './wording.ts';

interface Flags extends ClientFlags {
  readonly limit: string;
  readonly all?: true;
}

const pageLimit = 200;

export const define: Define = (command, session) => {
  command.option('-n, --limit <count>', 'how many', '50').option('-a, --all', 'all of them');
  examples(
    clientFlags(command),
    'nightshift audit',
    'nightshift audit --all --json > audit.ndjson',
    `nightshift audit --all --json | jq -c 'select(.user == "ci")'`,
  ).action(async (flags: Flags) => {
    const print = flags.json ? asLines(session) : asTable(session);
    for await (const page of pages(session, flags)) print(page);
  });
};

/** Page by page: a log may be longer than fits into memory. */
async function* pages(session: Session, flags: Flags): AsyncGenerator<readonly AuditLine[]> {
  const client = connect(flags, session);
  let wanted = flags.all ? Number.POSITIVE_INFINITY : limitOf(flags.limit);
  let cursor: string | null = null;
  do {
    const query = `limit=${Math.min(pageLimit, wanted)}${cursor === null ? '' : `&cursor=${cursor}`}`;
    const page: Page<AuditLine> = await client.get(`/api/audit?${query}`);
    yield page.items;
    wanted -= page.items.length;
    cursor = page.nextCursor;
  } while (cursor !== null && wanted > 0);
}

/** One object a line, which is what log stores take in. */
const asLines =
  ({ screen }: Session) =>
  (lines: readonly AuditLine[]): void => {
    for (const line of lines) screen.line(toJson(line));
  };

const asTable =
  ({ screen, terminal }: Session) =>
  (lines: readonly AuditLine[]): void =>
    screen.table(
      ['WHEN', 'WHO', 'FROM', 'OUTCOME', 'WHAT'],
      lines.map(({ at, user, address, outcome, count, action, target }) => [
        screen.rich ? age(at, terminal.clock.now()) : at,
        oneLine(user ?? '-'),
        oneLine(address),
        { text: `${outcome}${count > 1 ? ` x${count}` : ''}`, style: outcome === 'done' ? undefined : 'yellow' },
        oneLine(`${action.split(' ')[0]} ${target}`),
      ]),
    );

function limitOf(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit > 0) return limit;
  throw misused(`--limit must be a whole number above 0, not ${JSON.stringify(text)}.`);
}
