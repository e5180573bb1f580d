import { budgetScopes } from '../domain/budget.ts';
import { isId } from '../domain/id.ts';
import type { Budget, Task } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { misused } from './failure.ts';
import { type Define, examples, type Session } from './session.ts';
import { amount } from './wording.ts';

export const define: Define = (command, session) => {
  examples(
    clientFlags(command),
    'nightshift budget',
    'nightshift budget set day 30',
    'nightshift budget set run none',
    'nightshift budget set tsk_01KEXAMPLE000000000000000 7.50',
  ).action((flags: ClientFlags) => show(session, flags));
  const showing = clientFlags(command.command('show').description('show what may be spent and what has been (the same without it)'));
  showing.action(() => show(session, showing.optsWithGlobals()));
  const setting = clientFlags(
    command
      .command('set')
      .description('set a budget; it holds from the next model call on')
      .argument('<budget>', `${budgetScopes.join(', ')}, or the id of a task`)
      .argument('<amount>', 'dollars, or tokens for proactive and conversation; "none" for no limit'),
  );
  setting.action((budget: string, text: string) => set(session, setting.optsWithGlobals(), budget, amountIn(text)));
};

async function show(session: Session, flags: ClientFlags): Promise<void> {
  const budgets = await connect(flags, session).get<{ readonly items: readonly Budget[] }>('/api/budgets');
  if (flags.json) return session.screen.json(budgets);
  print(session, budgets.items);
}

async function set(session: Session, flags: ClientFlags, budget: string, limit: number | null): Promise<void> {
  const client = connect(flags, session);
  if (isId('task', budget)) return setOfTask(session, flags, client, budget, limit);
  if (!(budgetScopes as readonly string[]).includes(budget)) {
    throw misused(`There is no such budget. Name one of ${budgetScopes.join(', ')}, or a task (tsk_…).`);
  }
  const { body } = await client.send<{ readonly items: readonly Budget[] }>('PUT', `/api/budgets/${budget}`, { limit });
  if (flags.json) return session.screen.json(body);
  print(session, body.items);
}

async function setOfTask({ screen }: Session, flags: ClientFlags, client: Client, id: string, limit: number | null): Promise<void> {
  const { body: task } = await client.send<Task>('PATCH', `/api/tasks/${id}`, { budgetUsd: limit });
  if (flags.json) return screen.json(task);
  screen.line(`${task.id}  ${task.budgetUsd === null ? 'no budget of its own' : `budget ${amount('usd', task.budgetUsd)}`}`);
  if (task.status === 'over-budget') screen.remark(`\`nightshift retry ${task.id}\` lets it go on where it stopped.`);
}

function amountIn(text: string): number | null {
  if (text === 'none') return null;
  if (/^\$?\d{1,13}(\.\d{1,6})?$/.test(text)) return Number(text.replace('$', ''));
  throw misused('The amount must be a number such as 30 or 7.50, or "none".');
}

function print({ screen }: Session, items: readonly Budget[]): void {
  const shown = ({ unit }: Budget, value: number | null, missing: string): string => (value === null ? missing : amount(unit, value));
  screen.table(
    ['BUDGET', 'LIMIT', 'SPENT', 'HELD', 'LEFT', 'ABOUT'],
    items.map((item) => [
      item.scope,
      shown(item, item.limit, 'none'),
      shown(item, item.spent, '-'),
      shown(item, item.reserved, '-'),
      {
        text: shown(item, item.left, '-'),
        style: item.left !== null && item.limit !== null && item.left < item.limit / 20 ? 'red' : undefined,
      },
      item.about,
    ]),
  );
}
