import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { alertNames } from '../domain/alert.ts';
import { findingTasks } from '../domain/follow-up.ts';
import { reviewVerdicts } from '../domain/review.ts';
import { samplers } from '../domain/sampler.ts';
import { tiers } from '../domain/tier.ts';
import { logLevels } from '../platform/log.ts';
import { hooks, locateHooks, locateTodos, scheduleSchema, todoFiles, webhookSchema, whole, word } from './structured.ts';

const amount = (max: number) =>
  z
    .union([
      z.number(),
      z
        .string()
        .regex(/^\d{1,13}(\.\d{1,6})?$/)
        .transform(Number),
    ])
    .pipe(z.number().min(0).max(max));
const dollars = { schema: amount(1_000_000), allowed: 'dollars from 0 to 1000000' };
const tokens = { schema: amount(1e12).pipe(z.int()), allowed: 'a whole number of tokens' };
const perMillion = z.number().min(0).max(100_000);
const url = (protocols: RegExp) => z.url({ protocol: protocols });
/** One or more, or where they are: taken apart by the gateway, which says what is wrong without showing them. */
const keys = z.string().min(1);
const aboutKeys = 'a key, several separated by commas, or file:PATH';
/** Becomes part of a path. */
const segment = z.string().regex(/^[\w-]{1,100}$/);
const listOf = <const T extends readonly [string, ...string[]]>(words: T) =>
  z
    .union([z.array(z.string()), z.string().transform((text) => text.split(/[\s,]+/).filter((each) => each !== ''))])
    .pipe(z.array(z.enum(words)));
const manyOf = (schema: z.ZodType<string, string>) =>
  z
    .union([z.array(z.string()), z.string().transform((text) => text.split(/[\s,]+/).filter((each) => each !== ''))])
    .pipe(z.array(schema).max(100));
const secretWord = z.string().regex(/^[\x21-\x7e]{16,512}$/);
const network = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);
const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text && /^https?:/.test(text));

export interface Setting {
  /** Absent for what has a structure, which only nightshift.yaml can hold. */
  readonly env?: string;
  readonly flag?: string;
  readonly schema: z.ZodType;
  readonly default?: unknown;
  /** Of one with relative paths: makes them absolute, as seen from the file that it was found in. */
  readonly locate?: (value: never, absolute: (path: string) => string) => unknown;
  /** How the default came about, where the value alone does not say it. */
  readonly defaultIs?: string;
  /** What a bad value is answered with. */
  readonly allowed: string;
  readonly about: string;
  readonly secret?: true;
}

/** Every setting there is, once. The key is its name in nightshift.yaml. */
export const settings = {
  home: {
    default: join(homedir(), '.nightshift'),
    env: 'NIGHTSHIFT_HOME',
    flag: '--home',
    schema: z.string().min(1),
    allowed: 'a directory',
    about: 'where Nightshift keeps its data',
  },
  host: {
    default: '127.0.0.1',
    env: 'HOST',
    flag: '--host',
    schema: z.string().min(1),
    allowed: 'an address to listen on',
    about: 'address to listen on',
  },
  port: {
    default: 8080,
    env: 'PORT',
    flag: '--port',
    schema: whole(0, 65_535),
    allowed: 'a port from 0 to 65535 (0 picks a free one)',
    about: 'port to listen on',
  },
  metricsPort: {
    env: 'METRICS_PORT',
    schema: whole(0, 65_535),
    allowed: 'a port from 0 to 65535 (0 picks a free one)',
    about: 'port of its own for the figures for Prometheus; takes METRICS_TOKEN',
  },
  metricsToken: {
    env: 'METRICS_TOKEN',
    schema: secretWord,
    allowed: 'at least 16 printable characters without spaces',
    about: 'what opens /metrics at METRICS_PORT, and nothing else',
    secret: true,
  },
  otelDisabled: {
    default: false,
    env: 'OTEL_SDK_DISABLED',
    schema: z.union([z.boolean(), z.stringbool()]),
    allowed: 'true or false',
    about: 'no traces, whatever else is set',
  },
  otelTracesExporter: {
    env: 'OTEL_TRACES_EXPORTER',
    schema: z.enum(['otlp', 'none']),
    allowed: 'otlp or none',
    about: 'whether traces are sent; naming an endpoint is enough',
  },
  otelEndpoint: {
    env: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    schema: url(/^https?$/),
    allowed: 'an http(s) URL',
    about: 'OpenTelemetry collector that traces are sent to, at /v1/traces',
  },
  otelTracesEndpoint: {
    env: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    schema: url(/^https?$/),
    allowed: 'an http(s) URL',
    about: 'the same, in full',
  },
  otelProtocol: {
    default: 'http/json',
    env: 'OTEL_EXPORTER_OTLP_PROTOCOL',
    schema: z.string(),
    allowed: 'http/json',
    about: 'how traces are sent',
  },
  otelHeaders: {
    env: 'OTEL_EXPORTER_OTLP_HEADERS',
    schema: z.string(),
    allowed: 'name=value pairs with commas between them',
    about: 'headers for the collector, such as its key',
    secret: true,
  },
  otelTracesHeaders: {
    env: 'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
    schema: z.string(),
    allowed: 'name=value pairs with commas between them',
    about: 'the same, for traces alone',
    secret: true,
  },
  otelServiceName: { env: 'OTEL_SERVICE_NAME', schema: z.string().min(1), allowed: 'a name', about: 'what the server is called in traces' },
  otelResourceAttributes: {
    env: 'OTEL_RESOURCE_ATTRIBUTES',
    schema: z.string(),
    allowed: 'name=value pairs with commas between them',
    about: 'what else traces say of the server',
  },
  otelTracesSampler: {
    default: 'parentbased_always_on',
    env: 'OTEL_TRACES_SAMPLER',
    schema: z.enum(samplers),
    allowed: samplers.join(', '),
    about: 'which traces are sent',
  },
  otelTracesSamplerArg: {
    default: 1,
    env: 'OTEL_TRACES_SAMPLER_ARG',
    schema: z.coerce.number().min(0).max(1),
    allowed: 'a share from 0 to 1',
    about: 'how many of them, for samplers by ratio',
  },
  databaseUrl: {
    env: 'DATABASE_URL',
    schema: url(/^postgres(ql)?$/),
    allowed: 'a postgres:// URL, or nothing for the embedded SQLite',
    about: 'PostgreSQL to use instead of SQLite',
    secret: true,
  },
  token: {
    env: 'NIGHTSHIFT_TOKEN',
    schema: secretWord,
    allowed: 'at least 16 printable characters without spaces',
    about: "the owner's API key",
    secret: true,
  },
  trustedProxies: {
    default: [],
    env: 'NIGHTSHIFT_TRUSTED_PROXIES',
    schema: manyOf(network),
    allowed: 'addresses, or networks like 10.0.0.0/8, with commas between them',
    about: 'proxies in front that are believed about where a request comes from',
  },
  corsOrigins: {
    default: [],
    env: 'NIGHTSHIFT_CORS_ORIGINS',
    schema: manyOf(origin),
    allowed: 'origins like https://tools.example, with commas between them',
    about: 'pages elsewhere that may call the API, with a key',
  },
  pushKey: {
    env: 'NIGHTSHIFT_PUSH_KEY',
    schema: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
    allowed: 'a private key of the curve P-256, 32 bytes in base64url',
    about: 'by which push services know this server; without it, one is made and kept in the home',
    secret: true,
  },
  pushServices: {
    default: [],
    env: 'NIGHTSHIFT_PUSH_SERVICES',
    schema: manyOf(origin),
    allowed: 'origins like https://push.example, with commas between them',
    about: 'push services of your own, which may be at private addresses and without TLS',
  },
  keyRequestsPerMinute: {
    default: 6_000,
    env: 'NIGHTSHIFT_KEY_REQUESTS_PER_MINUTE',
    schema: whole(0, 10_000_000),
    allowed: 'a whole number up to 10000000 (0 is no limit)',
    about: "requests of one API key or browser; the owner's own key has no limit",
  },
  addressRequestsPerMinute: {
    default: 1_200,
    env: 'NIGHTSHIFT_ADDRESS_REQUESTS_PER_MINUTE',
    schema: whole(0, 10_000_000),
    allowed: 'a whole number up to 10000000 (0 is no limit)',
    about: 'requests from one address that show no good key',
  },
  engine: {
    env: 'NIGHTSHIFT_ENGINE',
    flag: '--engine',
    schema: word,
    allowed: 'the name of an engine',
    about: 'engine of tasks that name none',
  },
  maxConcurrentRuns: {
    default: 2 * availableParallelism(),
    defaultIs: 'two per core',
    env: 'MAX_CONCURRENT_RUNS',
    flag: '--max-concurrent-runs',
    schema: whole(1, 1_000),
    allowed: 'a whole number from 1 to 1000',
    about: 'runs at the same time',
  },
  runTimeoutSeconds: {
    default: 3_600,
    env: 'NIGHTSHIFT_RUN_TIMEOUT_SECONDS',
    schema: whole(1, 86_400),
    allowed: 'seconds from 1 to 86400',
    about: 'longest time one run may take',
  },
  maxRounds: {
    default: 8,
    env: 'NIGHTSHIFT_MAX_ROUNDS',
    schema: whole(1, 100),
    allowed: 'a whole number from 1 to 100',
    about: 'how often an agent may try to make the gates green',
  },
  checkpointEvery: {
    default: 25,
    env: 'NIGHTSHIFT_CHECKPOINT_EVERY',
    schema: whole(0, 10_000),
    allowed: 'a whole number from 0 to 10000 (0: only when gates are green and before risky commands)',
    about: 'after how many tool calls a checkpoint is made',
  },
  checkpointsPerRun: {
    default: 50,
    env: 'NIGHTSHIFT_CHECKPOINTS_PER_RUN',
    schema: whole(2, 1_000),
    allowed: 'a whole number from 2 to 1000',
    about: 'how many checkpoints of a run are kept',
  },
  keepCheckpointsHours: {
    default: 72,
    env: 'NIGHTSHIFT_KEEP_CHECKPOINTS_HOURS',
    schema: whole(1, 8_760),
    allowed: 'hours from 1 to 8760',
    about: 'how long a checkpoint is kept; never longer than its workspace',
  },
  keepRunsDays: {
    default: 90,
    env: 'NIGHTSHIFT_KEEP_RUNS_DAYS',
    schema: whole(0, 36_500),
    allowed: 'days from 0 to 36500 (0 keeps them for ever)',
    about: "how long a run's output, diff and artifacts are kept on disk",
  },
  workspaceMegabytes: {
    default: 20_480,
    env: 'NIGHTSHIFT_WORKSPACE_MEGABYTES',
    schema: whole(1, 100_000_000),
    allowed: 'megabytes from 1 to 100000000',
    about: 'how much the workspace of a run may hold',
  },
  workspaceFiles: {
    default: 2_000_000,
    env: 'NIGHTSHIFT_WORKSPACE_FILES',
    schema: whole(1, 100_000_000),
    allowed: 'a whole number from 1 to 100000000',
    about: 'how many files and directories the workspace of a run may hold',
  },
  keepMailDays: {
    default: 30,
    env: 'NIGHTSHIFT_KEEP_MAIL_DAYS',
    schema: whole(0, 36_500),
    allowed: 'days from 0 to 36500 (0 keeps them for ever)',
    about: 'how long the contents of deliveries and sent messages are kept; that they were here stays known',
  },
  drainSeconds: {
    default: 30,
    env: 'NIGHTSHIFT_DRAIN_SECONDS',
    schema: whole(0, 86_400),
    allowed: 'seconds from 0 to 86400',
    about: 'how long a stop waits for runs to finish',
  },
  leaseSeconds: {
    default: 30,
    env: 'NIGHTSHIFT_LEASE_SECONDS',
    schema: whole(1, 3_600),
    allowed: 'seconds from 1 to 3600',
    about: "silence after which a node's work is taken over",
  },
  logLevel: {
    default: 'info',
    env: 'LOG_LEVEL',
    flag: '--log-level',
    schema: z.enum(logLevels),
    allowed: logLevels.join(', '),
    about: 'how much is logged',
  },
  sandbox: {
    default: 'auto',
    env: 'NIGHTSHIFT_SANDBOX',
    schema: z.enum(['auto', 'require', 'off']),
    allowed: 'auto (use it when present), require (refuse to work without), off',
    about: 'sandbox around agents and around what comes from repositories',
  },
  repositories: {
    default: [],
    schema: z
      .array(
        z.strictObject({
          match: z.string().min(1).max(2_000),
          egress: z.array(z.string()).max(100).optional(),
          history: z.enum(['full', 'shallow']).optional(),
          tier: z.enum(tiers).optional(),
        }),
      )
      .max(1_000),
    allowed:
      'a list of {match: a repository, or the beginning of one and /*, egress?: [host, *.host, host:port], history?: full | shallow, tier?: light | standard | deep}',
    about: 'by repository: what its agents may reach over the network, how much of its history is fetched, and the tier of its models',
  },
  githubToken: {
    env: 'GITHUB_TOKEN',
    schema: z.string().regex(/^[\x21-\x7e]+$/),
    allowed: 'a token',
    about: 'token for GitHub: its repositories, and answers there',
    secret: true,
  },
  githubWebhookSecret: {
    env: 'GITHUB_WEBHOOK_SECRET',
    schema: z.string().min(8),
    allowed: 'at least 8 characters, the same as in the webhook',
    about: 'secret of the GitHub webhook; switches GitHub on',
    secret: true,
  },
  githubAppId: {
    env: 'GITHUB_APP_ID',
    schema: z.union([z.string().regex(/^[\w.]{1,40}$/), z.int().positive().transform(String)]),
    allowed: 'the id of a GitHub App',
    about: 'GitHub App to be, instead of a token',
  },
  githubPrivateKey: {
    env: 'GITHUB_PRIVATE_KEY',
    schema: z.string().min(1),
    allowed: 'a private key in PEM form, or a file with one',
    about: "the App's private key",
    secret: true,
  },
  githubApiUrl: {
    default: 'https://api.github.com',
    env: 'GITHUB_API_URL',
    schema: url(/^https?$/),
    allowed: 'an http(s) URL',
    about: 'API of GitHub, or of a GitHub server of your own',
  },
  githubBotName: {
    default: 'nightshift',
    env: 'GITHUB_BOT_NAME',
    schema: z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?$/),
    allowed: 'a GitHub login',
    about: 'whom people mention on GitHub',
  },
  github: {
    schema: z.strictObject({
      repositories: z.array(z.string().regex(/^[\w.-]+\/[\w.-]+$/, 'must be owner/name')).exactOptional(),
      associations: z
        .array(z.enum(['OWNER', 'MEMBER', 'COLLABORATOR', 'CONTRIBUTOR', 'FIRST_TIME_CONTRIBUTOR', 'FIRST_TIMER', 'NONE']))
        .exactOptional(),
      allow: z.array(z.string().min(1)).exactOptional(),
      others: z.enum(['ignore', 'await-approval']).exactOptional(),
      label: z.string().min(1).max(100).exactOptional(),
      branches: z.array(z.string().min(1)).exactOptional(),
      reviews: z.enum(reviewVerdicts).exactOptional(),
    }),
    allowed:
      '{repositories?, associations?, allow?: [login], others?: ignore | await-approval, label?, branches?, reviews?: comment | request-changes | approve}',
    about: 'who may set Nightshift to work on GitHub, and where',
  },
  llmProvider: {
    env: 'LLM_PROVIDER',
    schema: z.enum(['claude', 'openrouter', 'ai-gateway', 'compatible', 'rehearsal']),
    allowed: 'claude, openrouter, ai-gateway, compatible, rehearsal',
    about: 'model provider that is asked first',
  },
  llmApiKey: { env: 'LLM_API_KEY', schema: keys, allowed: aboutKeys, about: 'key of the provider that is asked first', secret: true },
  llmBaseUrl: {
    env: 'LLM_BASE_URL',
    schema: url(/^https?$/),
    allowed: 'an http(s) URL',
    about: 'base URL of the provider that is asked first',
  },
  anthropicApiKey: { env: 'ANTHROPIC_API_KEY', schema: keys, allowed: aboutKeys, about: 'key for the claude provider', secret: true },
  openrouterApiKey: { env: 'OPENROUTER_API_KEY', schema: keys, allowed: aboutKeys, about: 'key for the openrouter provider', secret: true },
  aiGatewayApiKey: {
    env: 'AI_GATEWAY_API_KEY',
    schema: keys,
    allowed: aboutKeys,
    about: 'key that the ai-gateway provider passes on to Anthropic',
    secret: true,
  },
  aiGatewayToken: {
    env: 'AI_GATEWAY_TOKEN',
    schema: keys,
    allowed: 'a token, or file:PATH',
    about: 'token of an AI Gateway that wants to know who comes',
    secret: true,
  },
  aiGatewayAccount: {
    env: 'AI_GATEWAY_ACCOUNT_ID',
    schema: segment,
    allowed: 'an account id',
    about: 'Cloudflare account of the AI Gateway',
  },
  aiGatewayId: { env: 'AI_GATEWAY_ID', schema: segment, allowed: "a gateway's name", about: 'name of the AI Gateway' },
  features: {
    default: [],
    env: 'NIGHTSHIFT_FEATURES',
    schema: listOf(['llm-openrouter', 'llm-ai-gateway', 'llm-claude']),
    allowed: 'a list of llm-openrouter, llm-ai-gateway, llm-claude',
    about: 'feature flags; llm-… chooses the provider when LLM_PROVIDER does not',
  },
  llmModel: { env: 'LLM_MODEL', schema: z.string().min(1), allowed: 'the name of a model', about: 'model for code' },
  llmModelLight: {
    env: 'LLM_MODEL_LIGHT',
    schema: z.string().min(1),
    allowed: 'the name of a model',
    about: 'model for reading and summaries',
  },
  llmModelDeep: { env: 'LLM_MODEL_DEEP', schema: z.string().min(1), allowed: 'the name of a model', about: 'model for what is hard' },
  llmFallbackModel: {
    env: 'LLM_FALLBACK_MODEL',
    schema: z.string().min(1),
    allowed: 'the name of a model',
    about: 'model to ask when the one that was asked for is refused or out of order',
  },
  llmModelNames: {
    default: {},
    schema: z.partialRecord(z.enum(['claude', 'openrouter', 'ai-gateway', 'compatible']), z.record(z.string().min(1), z.string().min(1))),
    allowed: 'per provider, names of models and what it calls them',
    about: "a provider's own names of models, where the rule does not find them",
  },
  llmPatienceSeconds: {
    default: 7_200,
    env: 'LLM_PATIENCE_SECONDS',
    schema: whole(0, 86_400),
    allowed: 'seconds from 0 to 86400',
    about: 'how long a call waits for a provider to come back',
  },
  rehearsalScript: {
    env: 'NIGHTSHIFT_REHEARSAL',
    schema: z.string().min(1),
    allowed: 'a file with a rehearsal script',
    about: 'script of the rehearsal provider, beside the built-in demo',
  },
  todoFiles: {
    default: [],
    env: 'TODO_FILES',
    schema: todoFiles,
    locate: locateTodos,
    allowed: 'files or patterns with commas between them; in nightshift.yaml also a list of {path, repository?, priority?, notes?}',
    about: 'Markdown files whose to-dos are work',
  },
  noteTokens: {
    default: 2_000,
    env: 'NIGHTSHIFT_NOTE_TOKENS',
    schema: whole(0, 100_000),
    allowed: 'tokens from 0 to 100000',
    about: "most that notes of earlier work take of an agent's prompt; 0 offers none",
  },
  memoryMcpNotes: {
    default: 'off',
    env: 'MEMORY_MCP_NOTES',
    schema: z.enum(['on', 'off']),
    allowed: 'on or off',
    about: 'whether notes are mirrored to the Memory-MCP server',
  },
  memoryMcpUrl: {
    env: 'MEMORY_MCP_URL',
    schema: url(/^https?$/),
    allowed: 'an http(s) URL',
    about: 'Memory-MCP server whose to-do list is work',
  },
  memoryMcpApiKey: {
    env: 'MEMORY_MCP_API_KEY',
    schema: z.string().min(1),
    allowed: 'a key, or the GitHub token that the server exchanges for a session',
    about: 'key for the Memory-MCP server',
    secret: true,
  },
  pollInterval: {
    default: 30,
    env: 'POLL_INTERVAL',
    schema: whole(1, 86_400),
    allowed: 'seconds from 1 to 86400',
    about: 'how often the Memory-MCP list is looked at',
  },
  webhooks: {
    default: [],
    schema: z
      .array(webhookSchema)
      .refine((webhooks) => new Set(webhooks.map(({ name }) => name)).size === webhooks.length, 'two have the same name')
      .refine((webhooks) => webhooks.every(({ name }) => name !== 'github'), 'github has its own: see docs/github.md'),
    allowed: 'a list of {name, secret, task: {title, …}, when?, about?, trust?, repositories?, signatureHeader?}',
    about: 'services that may post work to /webhook/NAME',
    secret: true,
  },
  slackWebhookUrl: {
    env: 'SLACK_WEBHOOK_URL',
    schema: url(/^https?$/),
    allowed: 'the URL of an incoming web hook',
    about: 'Slack channel that alerts go to',
    secret: true,
  },
  alertEmail: { env: 'ALERT_EMAIL', schema: z.email(), allowed: 'an address', about: 'where alerts are mailed to' },
  smtpUrl: {
    env: 'SMTP_URL',
    schema: url(/^smtps?$/),
    allowed: 'an smtp:// or smtps:// URL',
    about: 'mail server for alerts',
    secret: true,
  },
  pagerdutyRoutingKey: {
    env: 'PAGERDUTY_ROUTING_KEY',
    schema: z.string().min(1),
    allowed: 'a routing key of the Events API',
    about: 'PagerDuty service that alerts go to',
    secret: true,
  },
  alertWebhookUrl: {
    env: 'ALERT_WEBHOOK_URL',
    schema: url(/^https?$/),
    allowed: 'an http(s) URL',
    about: 'web hook that alerts are posted to',
    secret: true,
  },
  alertWebhookSecret: {
    env: 'ALERT_WEBHOOK_SECRET',
    schema: z.string().min(8),
    allowed: 'at least 8 characters',
    about: 'what alerts to the web hook are signed with',
    secret: true,
  },
  healthcheckInterval: {
    default: 3_600,
    env: 'HEALTHCHECK_INTERVAL',
    schema: whole(0, 86_400),
    allowed: 'seconds from 0 to 86400',
    about: 'how often the server examines itself; 0 is never',
  },
  backupHours: {
    default: 24,
    env: 'NIGHTSHIFT_BACKUP_HOURS',
    schema: whole(0, 8_760),
    allowed: 'hours from 0 to 8760',
    about: 'how often a backup is made by itself; 0 is never',
  },
  backupDirectory: {
    env: 'NIGHTSHIFT_BACKUP_DIRECTORY',
    schema: z.string().min(1),
    allowed: 'a directory',
    about: 'where backups are kept; better on another disk',
  },
  keepBackups: {
    default: 7,
    env: 'NIGHTSHIFT_KEEP_BACKUPS',
    schema: whole(1, 1_000),
    allowed: 'a number from 1 to 1000',
    about: 'how many backups are kept',
  },
  backupPassphrase: {
    env: 'NIGHTSHIFT_BACKUP_PASSPHRASE',
    schema: z.string().min(12),
    allowed: 'a passphrase of at least 12 characters',
    about: 'with it, keys and the settings that hold them go into backups, sealed; without it they are left out',
    secret: true,
  },
  alerts: {
    default: {},
    schema: z.partialRecord(
      z.enum(alertNames),
      z.union([
        z.literal('off'),
        z.strictObject({ above: z.number().min(0).optional(), forMinutes: z.number().min(0).max(10_080).optional() }),
      ]),
    ),
    allowed: `by name, "off" or {above?, forMinutes?}; the names are ${alertNames.join(', ')}`,
    about: 'alerts that shall come otherwise than they do, or not at all',
  },
  schedules: {
    schema: z
      .array(scheduleSchema)
      .refine((schedules) => new Set(schedules.map(({ name }) => name)).size === schedules.length, 'two have the same name'),
    default: [],
    allowed: 'a list of {name, cron, timezone?, catchUp?: none | one | all, task: {title, body?, repository?, …}}',
    about: 'tasks that are filed at certain times',
  },
  hooks: {
    default: [],
    schema: hooks,
    locate: locateHooks,
    allowed: 'a list of {on, command or module, id?, timeoutSeconds?, tools?, required?, wait?}; see docs/hooks.md',
    about: 'commands and modules that have a say in runs, or hear of what happens in them',
  },
  findings: {
    default: { tasks: 'approve', review: true, perRun: 3, perDay: 20, depth: 2 },
    schema: z.strictObject({
      tasks: z.enum(findingTasks).default('approve'),
      review: z.boolean().default(true),
      perRun: whole(0, 100).default(3),
      perDay: whole(0, 10_000).default(20),
      depth: whole(0, 10).default(2),
    }),
    allowed: '{tasks?: approve | run | off, review?: true | false, perRun?, perDay?, depth?}; see docs/investigation.md',
    about: 'whether what a run finds becomes work of its own, and how much of it',
  },
  dailyBudgetUsd: { default: 20, env: 'DAILY_BUDGET_USD', ...dollars, about: 'what model calls may cost in a day' },
  dailyCeilingUsd: {
    default: 200,
    env: 'DAILY_CEILING_USD',
    ...dollars,
    about: 'the same, whatever else is allowed: at this much in a day the queue is paused',
  },
  runBudgetUsd: { default: 5, env: 'RUN_BUDGET_USD', ...dollars, about: 'what one run may cost when its task has no budget of its own' },
  proactiveDailyTokens: { default: 7_000_000, env: 'PROACTIVE_DAILY_TOKENS', ...tokens, about: 'tokens for proactive work in a day' },
  conversationWarnTokens: {
    default: 100_000,
    env: 'CONVERSATION_WARN_TOKENS',
    ...tokens,
    about: 'tokens of one conversation after which there is a warning',
  },
  prices: {
    default: {},
    defaultIs: 'list prices of Claude models',
    schema: z.record(
      z.string().min(1).max(200),
      z.strictObject({
        input: perMillion,
        output: perMillion,
        cacheWrite: perMillion.optional(),
        cacheWrite1h: perMillion.optional(),
        cacheRead: perMillion.optional(),
      }),
    ),
    allowed: 'MODEL: {input, output, cacheWrite, cacheWrite1h, cacheRead} in dollars per million tokens',
    about: 'prices of models, beside and instead of the built-in ones',
  },
} as const satisfies Record<string, Setting>;

export type SettingKey = keyof typeof settings;
export const settingKeys = Object.keys(settings) as SettingKey[];
export const settingOf = (key: SettingKey): Setting => settings[key];

/** Parsed and frozen. What has no default and was not set is undefined. */
export type Config = {
  readonly [K in SettingKey]: (typeof settings)[K] extends { readonly default: unknown }
    ? z.output<(typeof settings)[K]['schema']>
    : z.output<(typeof settings)[K]['schema']> | undefined;
};
