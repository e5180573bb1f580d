import type { Migration } from './migration.ts';

export const neverApproved: Migration = {
  name: 'never-approved',
  statements: () => [
    // Nobody has let it go ahead yet; remembered when it is called off meanwhile, so that a retry asks again.
    `alter table tasks add column needs_approval integer not null default 0`,
    `update tasks set needs_approval = 1 where status = 'awaiting-approval' or (
      status in ('failed', 'cancelled')
      and id in (select task_id from events where type = 'task.submitted' and data like '%"status":"awaiting-approval"%')
      and id not in (select task_id from events where type = 'task.approved' and task_id is not null)
    )`,
  ],
};
