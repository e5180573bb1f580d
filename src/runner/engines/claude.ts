import { randomUUID } from 'node:crypto';
import { access, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type * as AgentSdk from '@anthropic-ai/claude-agent-sdk';
import type { Options, SDKResultMessage } from '@anthropic-ai/claude-agent-sdk';
import { failed, type Outcome } from '../../domain/outcome.ts';
import { taskPrompt, withContract } from '../../domain/prompt.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import { sweepRun } from '../clear-away.ts';
import type { ToolCall as ToolUse } from '../hooks/hook.ts';
import { sdkHooks } from './claude/hooks.ts';
import { createNarrator } from './claude/narrator.ts';
import { createPositions, type Positions } from './claude/position.ts';
import { type AgentProcess, agentProcess, type Ending, spawnPlainly } from './claude/process.ts';
import { engineMissing, verdict } from './claude/verdict.ts';
import type { ConversationRequest, Engine, EngineEvent, EngineRequest } from './engine.ts';

export interface ClaudeParts {
  readonly clock: Clock;
  /** Instead of the program that comes with the SDK. */
  readonly program?: string;
  /** The server runs as root, which the program refuses to do without being told that it may. */
  readonly asRoot: boolean;
}

/**
 * The Claude Agent SDK. Its program runs with an environment of our making, its sessions in a directory of the run's own,
 * and nothing of a repository's own settings: those could start programs. An agent that stops has not succeeded by that;
 * whether it has is for the runner to find out.
 */
export function claudeEngine(parts: ClaudeParts): Engine {
  const inUse = new Set<string>();
  return {
    name: 'claude',
    converses: true,
    refuses: () => undefined,

    async *run(request, signal): AsyncGenerator<EngineEvent> {
      const { conversation } = request;
      if (!conversation) return yield outcome(failed('no-model', 'The claude engine was given no model to talk to.'));
      const sessionId = conversation.resumeAt === undefined ? (conversation.resume ?? randomUUID()) : randomUUID();
      // Two that went on with one session would both seem to work, and the work of one would vanish from it.
      if (inUse.has(sessionId)) return yield outcome(failed('session-busy', `Session ${sessionId} is in use by another run.`, true));
      inUse.add(sessionId);
      try {
        yield* converse(parts, request, conversation, sessionId, signal);
      } catch (error) {
        yield outcome(failed('engine-failed', `The agent engine broke. ${messageOf(error)}`, true));
      } finally {
        inUse.delete(sessionId);
      }
    },
  };
}

/** Whether a session was written down, so that it can be gone on with. */
export async function hasSession(sessionDirectory: string, sessionId: string): Promise<boolean> {
  const projects = join(sessionDirectory, 'projects');
  const folders = await readdir(projects).catch(() => []);
  const found = await Promise.all(
    folders.map((folder) =>
      access(join(projects, folder, `${sessionId}.jsonl`)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

async function* converse(
  parts: ClaudeParts,
  request: EngineRequest,
  conversation: ConversationRequest,
  sessionId: string,
  signal: AbortSignal,
): AsyncGenerator<EngineEvent> {
  const resumed = conversation.resume !== undefined;
  const from = conversation.resume ?? sessionId;
  if (resumed && !(await hasSession(conversation.sessionDirectory, from))) {
    return yield outcome(failed('session-lost', `Session ${from} cannot be gone on with: there is no record of it.`, true));
  }
  const sdk = await loadSdk();
  if ('kind' in sdk) return yield outcome(sdk);
  await mkdir(conversation.sessionDirectory, { recursive: true, mode: 0o700 });
  await conversation.onSession?.(sessionId);
  yield { type: 'run.session', data: { sessionId, resumed } };
  if (signal.aborted) return yield outcome({ kind: 'cancelled' });

  const conceal = concealing(conversation.model.credential);
  const narrator = createNarrator(parts.clock, conceal);
  const positions = createPositions(parts.clock);
  const agent = agentProcess(request.spawn ?? spawnPlainly, parts.clock);
  const end = endOf(agent, request.runId, signal);
  let result: SDKResultMessage | undefined;
  let thrown: string | undefined;
  let lastRetryMs: number | undefined;
  try {
    const options = optionsFor(
      parts,
      request,
      conversation,
      sessionId,
      agent,
      hooksFor(parts, request, conversation, positions, conceal, signal),
    );
    const warm = await sdk.startup({ options: { ...options, ...ownTools(sdk, conversation) } });
    const prompt = conversation.prompt ?? (resumed ? goOn : withContract(taskPrompt(request.task), request.task.doneWhen));
    for await (const message of warm.query(prompt)) {
      if (message.type === 'result') result = message;
      if (message.type === 'system' && message.subtype === 'api_retry') lastRetryMs = message.retry_delay_ms;
      const position = positions.see(message);
      if (position !== undefined) conversation.onPosition?.(position);
      if (!signal.aborted) yield* orStop(narrator.tell(message), agent);
    }
  } catch (error) {
    thrown = messageOf(error);
  } finally {
    await end();
  }
  yield outcome(verdict({ result, conceal, thrown, ending: await end(), aborted: signal.aborted, lastRetryMs }));
}

/** A reader that goes away in the middle ends the program at once; the SDK would first wait for it to end by itself. */
function* orStop(events: readonly EngineEvent[], agent: AgentProcess): Generator<EngineEvent> {
  let taken = false;
  try {
    yield* events;
    taken = true;
  } finally {
    if (!taken) agent.stop();
  }
}

/** Ends the program and all that it started; asking again gives the same answer. */
function endOf(agent: AgentProcess, runId: string, signal: AbortSignal): () => Promise<Ending | undefined> {
  signal.addEventListener('abort', agent.stop, { once: true });
  let ending: Promise<Ending | undefined> | undefined;
  const end = async (): Promise<Ending | undefined> => {
    const how = await agent.ended();
    signal.removeEventListener('abort', agent.stop);
    if (how) await sweepRun(runId);
    return how;
  };
  return () => {
    ending ??= end();
    return ending;
  };
}

/** Loaded when it is first needed: a server that runs no agent does without its megabytes. */
async function loadSdk(): Promise<typeof AgentSdk | Outcome> {
  try {
    return await import('@anthropic-ai/claude-agent-sdk');
  } catch (error) {
    return engineMissing(messageOf(error));
  }
}

/** Tools that wait for a person, outlive the run, or plan for a time when it is over. */
const senseless = [
  'AskUserQuestion',
  'Workflow',
  'ReportFindings',
  'EnterPlanMode',
  'ExitPlanMode',
  'CronCreate',
  'CronDelete',
  'CronList',
  'ScheduleWakeup',
  'RemoteTrigger',
  'PushNotification',
  'EnterWorktree',
  'ExitWorktree',
];

function optionsFor(
  parts: ClaudeParts,
  request: EngineRequest,
  conversation: ConversationRequest,
  sessionId: string,
  agent: AgentProcess,
  hooks: NonNullable<Options['hooks']>,
): Options {
  const { model, tools, maxTurns, instructions } = conversation;
  return {
    cwd: request.directory,
    env: environment(parts, request, conversation),
    ...sessionOf(conversation, sessionId),
    hooks,
    ...(model.name === undefined ? {} : { model: model.name }),
    ...(maxTurns === undefined ? {} : { maxTurns }),
    ...(tools === undefined ? {} : { tools: tools.filter((name) => !name.startsWith('mcp__')) }),
    disallowedTools: senseless,
    // Nobody is there to ask. What an agent may do is decided by the sandbox around it, not by its own consent.
    permissionMode: 'bypassPermissions',
    allowDangerouslySkipPermissions: true,
    settingSources: [],
    // A wish may begin with a slash or name a file with an @: those are words, not commands.
    verbatimPrompts: true,
    // What is remembered and who signs a commit is Nightshift's business.
    settings: { autoMemoryEnabled: false, attribution: { commit: '', pr: '' } },
    strictMcpConfig: true,
    systemPrompt: { type: 'preset', preset: 'claude_code', ...(instructions === undefined ? {} : { append: instructions }) },
    ...(parts.program === undefined ? {} : { pathToClaudeCodeExecutable: parts.program }),
    spawnClaudeCodeProcess: ({ command, args, cwd, env }) =>
      agent.start({ argv: [command, ...args], cwd: cwd ?? request.directory, env: withoutGaps(env) }),
  };
}

const ownServer = 'nightshift';
/** As agents, transcripts and profiles call it. */
const ownName = (tool: string): string => `mcp__${ownServer}__${tool}`;

/** Called in this process, through the pipes of the program: no sandbox needs a hole for them. */
function ownTools({ createSdkMcpServer, tool }: typeof AgentSdk, conversation: ConversationRequest): Pick<Options, 'mcpServers'> {
  const { own = [], tools: only } = conversation;
  const allowed = own.filter(({ name }) => only === undefined || only.includes(ownName(name)));
  if (allowed.length === 0) return {};
  const tools = allowed.map((each) =>
    tool(each.name, each.description, each.input, async (given) => {
      try {
        const { failed: isError, text } = await each.call(given);
        return { isError, content: [{ type: 'text', text }] };
      } catch (error) {
        return { isError: true, content: [{ type: 'text', text: `It did not work: ${messageOf(error)}` }] };
      }
    }),
  );
  return { mcpServers: { [ownServer]: createSdkMcpServer({ name: ownServer, tools, alwaysLoad: true }) } };
}

/** Cut off at a message, the session goes on under a new id: others may want to go back to the old one. */
function sessionOf(
  { resume, resumeAt }: ConversationRequest,
  sessionId: string,
): Pick<Options, 'sessionId' | 'resume' | 'resumeSessionAt' | 'forkSession'> {
  if (resume === undefined) return { sessionId };
  return resumeAt === undefined ? { resume } : { resume, resumeSessionAt: resumeAt, forkSession: true, sessionId };
}

/** How long a tool may be held up. */
const longestHoldMs = 120_000;

/** What hooks want to be told of and asked, and before each tool that they do not refuse the chance to keep things as they are. */
function hooksFor(
  { clock }: ClaudeParts,
  { watch }: EngineRequest,
  { beforeTool }: ConversationRequest,
  positions: Positions,
  conceal: (text: string) => string,
  signal: AbortSignal,
): NonNullable<Options['hooks']> {
  const beforeUse =
    beforeTool &&
    (async ({ call, name, input, bySubagent }: ToolUse): Promise<void> => {
      // What subagents do is no part of the conversation that a position is in.
      if (!bySubagent) await positions.reached(call, signal);
      const used = new AbortController();
      const held = beforeTool({ tool: name, input });
      await Promise.race([held, wait(clock, longestHoldMs, AbortSignal.any([signal, used.signal]))]);
      used.abort();
    });
  return sdkHooks({ watch, beforeUse }, conceal);
}

function environment(
  { asRoot }: ClaudeParts,
  { env }: EngineRequest,
  { model, sessionDirectory, modelRetries }: ConversationRequest,
): Record<string, string> {
  return {
    ...env,
    ANTHROPIC_BASE_URL: model.baseUrl,
    ANTHROPIC_API_KEY: model.credential,
    ...(model.socket === undefined ? {} : { ANTHROPIC_UNIX_SOCKET: model.socket }),
    ...named('HAIKU', model.tiers?.light),
    ...named('SONNET', model.tiers?.standard),
    ...named('OPUS', model.tiers?.deep),
    CLAUDE_CONFIG_DIR: sessionDirectory,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    DISABLE_TELEMETRY: '1',
    DISABLE_ERROR_REPORTING: '1',
    ...(modelRetries === undefined ? {} : { CLAUDE_CODE_MAX_RETRIES: String(modelRetries) }),
    ...(asRoot ? { IS_SANDBOX: '1' } : {}),
  };
}

/** What the program means when it, or a subagent, asks for a family by name. */
const named = (family: 'HAIKU' | 'SONNET' | 'OPUS', model: string | undefined): Record<string, string> =>
  model === undefined ? {} : { [`ANTHROPIC_DEFAULT_${family}_MODEL`]: model };

const withoutGaps = (env: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));

const goOn =
  'You were interrupted: the server stopped while you were at work. Your last step may be half done. ' +
  'Look at the state of the workspace, then go on with the task from there.';

/** A tool can print the environment; the run's credential does not belong into the journal. */
const concealing =
  (credential: string) =>
  (text: string): string =>
    (credential === '' ? text : text.replaceAll(credential, '[secret]')).replaceAll('\0', ''); // a NUL is refused by PostgreSQL

const outcome = (ended: Outcome): EngineEvent => ({ type: 'outcome', outcome: ended });
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
