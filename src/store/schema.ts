import type { Generated } from 'kysely';
import type { Role } from '../domain/access.ts';
import type { CheckpointKind } from '../domain/checkpoint.ts';
import type { FindingCategory } from '../domain/finding.ts';
import type { DeliveryState, MessageState } from '../domain/mail.ts';
import type { NoteKind, NoteTrust } from '../domain/note.ts';
import type { Severity } from '../domain/notice.ts';
import type { DecidedRound } from '../domain/round.ts';
import type { RunStatus } from '../domain/run.ts';
import type { CallEnd, CallKind } from '../domain/spending.ts';
import type { Deliverable, Priority, TaskStatus, Trust } from '../domain/task.ts';
import type { Tier } from '../domain/tier.ts';
import type { WorkspaceStatus } from '../domain/workspace.ts';

/**
 * The tables as both databases hold them. Times are epoch milliseconds, JSON is text, so that one set of
 * queries serves SQLite and PostgreSQL.
 */
export interface Schema {
  tasks: TaskTable;
  task_dependencies: { task_id: string; depends_on: string };
  runs: RunTable;
  events: EventTable;
  run_results: RunResultTable;
  nodes: NodeTable;
  workspaces: WorkspaceTable;
  profiles: ProfileTable;
  findings: FindingTable;
  follow_ups: { run_id: string; task_id: string; attempts: number; holder: string | null; created_at: number };
  offspring: { key: string; task_id: string; run_id: string; created_at: number };
  inbox: InboxTable;
  delivery_bodies: DeliveryBodiesTable;
  task_traces: { task_id: string; traceparent: string };
  task_origins: { task_id: string; source: string; trigger_key: string; address: string };
  outbox: OutboxTable;
  rounds: RoundTable;
  kept_verdicts: { workspace_id: string; tree: string; gate: string; definition: string; verdict: string; at: number };
  checkpoints: CheckpointTable;
  next_attempts: { task_id: string; plan: string; taken_by: string | null; at: number };
  settings: { key: string; value: string };
  memory_items: { list: string; item: string; revision: number; claimed_at: number | null };
  notes: Omit<NoteTable, 'seq'> & { seq: Generated<number> };
  todo_items: {
    key: string;
    file: string;
    place: number;
    title: string;
    headings: string;
    digest: string;
    checked: number;
    revision: number;
    overdue: string | null;
  };
  token_ledger: LedgerTable;
  usage_by_day: UsageSums & { day: string; kind: CallKind; provider: string; model: string; key_id: string };
  usage_by_task: UsageSums & { day: string; task_id: string };
  budget_counters: { id: string; spent: number; reserved: number; exhausted: number; used_at: number };
  budget_reservations: ReservationTable;
  alerts: {
    name: string;
    /** Empty for what is everybody's. */
    node: string;
    severity: Severity;
    title: string;
    text: string;
    since: number;
    raised_at: number | null;
    well_since: number | null;
  };
  alert_silences: { name: string; until: number; set_by: string };
  api_keys: ApiKeyTable;
  sessions: { id: string; key_id: string | null; created_at: number; expires_at: number };
  push_subscriptions: PushSubscriptionTable;
  audit_log: AuditTable;
  ends_by_day: { day: string; source: string; status: TaskStatus; helped: number; tasks: number };
  gates_by_day: GateSums & { day: string; repository: string };
}

export interface PushSubscriptionTable {
  session_id: string;
  endpoint: string;
  p256dh: string;
  auth: string;
  mark: string;
  created_at: number;
}

export interface TaskTable {
  id: string;
  source: string;
  external_ref: string | null;
  title: string;
  body: string | null;
  repository: string | null;
  ref: string | null;
  priority: Priority;
  status: TaskStatus;
  reason: string | null;
  dedupe_key: string | null;
  budget_usd: number | null;
  verify: string | null;
  done_when: string | null;
  max_rounds: number | null;
  engine: string | null;
  requested_by: string;
  trust: Trust;
  attempts: number;
  max_attempts: number;
  losses: number;
  waiting_for: number;
  rank: number;
  not_before: number | null;
  cancel_requested_at: number | null;
  created_at: number;
  updated_at: number;
  closed_at: number | null;
  profile: string;
  labels: string;
  tier: Tier | null;
  deliverable: Deliverable;
  branch: string | null;
  parent_task_id: string | null;
  needs_approval: number;
  helped: number;
}

export interface FindingTable {
  run_id: string;
  signature: string;
  task_id: string;
  category: FindingCategory;
  code: string;
  message: string;
  file: string | null;
  line: number | null;
  worth: number;
  gone: number;
  at: number;
}

export interface RunTable {
  id: string;
  task_id: string;
  node_id: string;
  engine: string | null;
  attempt: number;
  status: RunStatus;
  reason: string | null;
  summary: string | null;
  started_at: number;
  finished_at: number | null;
}

export interface RunResultTable {
  run_id: string;
  session_id: string | null;
  branch: string | null;
  base_commit: string | null;
  commits: string;
  files_changed: string;
  diff: string | null;
  diff_file: string | null;
  diff_truncated: number;
  delivery: string | null;
  tests: string | null;
  not_green: string | null;
  review: string | null;
  tokens: string;
  cost_usd: number;
  tool_calls: number;
}

export interface EventTable {
  seq: Generated<number>;
  /** The writing transaction on PostgreSQL, 0 on SQLite: see docs/decisions/0003-journal-order.md. */
  tx: Generated<number>;
  at: number;
  type: string;
  task_id: string | null;
  run_id: string | null;
  data: string;
}

/** One server process of a fleet. `beat` counts up while it lives; whoever sees it stand still takes its work. */
interface NodeTable {
  id: string;
  beat: number;
  started_at: number;
  address: string | null;
  report: string | null;
}

export interface WorkspaceTable {
  id: string;
  task_id: string;
  run_id: string;
  node_id: string;
  status: WorkspaceStatus;
  repository: string;
  ref: string;
  branch: string;
  base_commit: string;
  tip: string;
  path: string;
  git_dir: string;
  created_at: number;
  completed_at: number | null;
  cleanup_at: number | null;
  removed_at: number | null;
}

export interface ProfileTable {
  id: string;
  name: string;
  description: string | null;
  prompt_template: string | null;
  instructions: string | null;
  tier: Tier | null;
  model: string | null;
  tools: string | null;
  timeout_seconds: number | null;
  max_turns: number | null;
  budget_usd: number | null;
  engine: string | null;
  created_at: number;
  updated_at: number;
}

interface TokenSums {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cost_micro_usd: number;
}

export interface LedgerTable extends TokenSums {
  id: string;
  at: number;
  node_id: string;
  run_id: string;
  task_id: string | null;
  conversation_id: string | null;
  kind: CallKind;
  provider: string | null;
  model: string | null;
  key_id: string | null;
  first_byte_ms: number | null;
  latency_ms: number | null;
  status: number | null;
  ended: CallEnd;
  estimated: number;
}

export interface UsageSums extends TokenSums {
  calls: number;
  failed_calls: number;
}

export interface ReservationTable {
  id: string;
  at: number;
  node_id: string;
  run_id: string;
  task_id: string | null;
  conversation_id: string | null;
  kind: CallKind;
  model: string | null;
  input_tokens: number;
  output_tokens: number;
  micro_usd: number;
}

export interface InboxTable {
  id: string;
  source: string;
  key: string;
  kind: string;
  headers: string;
  body_hash: string;
  body_size: number;
  /** It was old enough; that the delivery was here stays known. */
  body_dropped: Generated<number>;
  state: DeliveryState;
  reason: string | null;
  attempts: number;
  not_before: number;
  /** The node that works on it; of one that is not on the list of nodes any more, nobody does. */
  holder: string | null;
  task_ids: string;
  received_at: number;
  settled_at: number | null;
}

interface DeliveryBodiesTable {
  delivery: string;
  /** As it came, byte for byte. */
  body: Buffer;
}

export interface OutboxTable {
  id: string;
  channel: string;
  recipient: string;
  kind: string;
  key: string;
  task_id: string | null;
  /** `null` as JSON once it was dropped. */
  body: string;
  body_hash: string;
  state: MessageState;
  reason: string | null;
  revision: number;
  sent_revision: number | null;
  ref: string | null;
  attempts: number;
  doubtful: number;
  pause: number;
  /** Where it stands among the waiting messages to its recipient. */
  place: number;
  /** It is the first of those; whoever changes that holds the line (`holdLines`). */
  leads: number;
  not_before: number;
  holder: string | null;
  created_at: number;
  sent_at: number | null;
}

export interface RoundTable {
  run_id: string;
  number: number;
  session_id: string | null;
  tree: string | null;
  verdicts: string;
  decision: DecidedRound['decision'];
  rule: DecidedRound['rule'];
  at: number;
}

export interface NoteTable {
  /** What the search index of SQLite knows it by. */
  seq: number;
  id: string;
  kind: NoteKind;
  repository: string | null;
  title: string;
  text: string;
  /** On PostgreSQL alone, where it is the search index's. */
  words?: string;
  /** The person; null when a task or a run has said it. */
  author: string | null;
  task_id: string | null;
  run_id: string | null;
  trust: NoteTrust;
  tags: string;
  importance: number;
  hash: string;
  times: number;
  superseded_by: string | null;
  /** The bytes of its title and text. */
  size: number;
  created_at: number;
  updated_at: number;
}

export interface ApiKeyTable {
  id: string;
  name: string;
  role: Role;
  scopes: string | null;
  hash: string;
  old_hash: string | null;
  old_until: number | null;
  created_by: string;
  created_at: number;
  expires_at: number | null;
  rotated_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
}

/** What the gates said when they were asked for the last time in a run, added up. */
export interface GateSums {
  runs: number;
  red: number;
  red_before: number;
  findings: number;
  complex: number;
  covered_lines: number;
  measured_lines: number;
}

interface AuditTable {
  id: Generated<number>;
  at: number;
  actor: string | null;
  role: Role | null;
  key_id: string | null;
  session_id: string | null;
  address: string;
  action: string;
  target: string;
  outcome: string;
  count: number;
  request_id: string;
}

export interface CheckpointTable {
  id: string;
  task_id: string;
  run_id: string;
  number: number;
  workspace_id: string;
  kind: CheckpointKind;
  note: string;
  files: string;
  ignored: string | null;
  too_big: string;
  tip: string;
  session_id: string | null;
  message_id: string | null;
  gates: string;
  at: number;
}
