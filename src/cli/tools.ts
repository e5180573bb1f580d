import type { StreamedEvent } from './api.ts';
import { oneLine, truncate } from './legible.ts';
import type { Line } from './story.ts';
import { duration } from './wording.ts';

const longest = 160;

interface Call {
  readonly said: string;
  readonly indent: string;
}

/** What an agent does with its tools: one line a call, when it is over. Knows which calls are under way. */
export class ToolCalls {
  private readonly open = new Map<string, Call>();

  /** The call that goes on right now, if any. */
  get current(): string | undefined {
    return [...this.open.values()].at(-1)?.said;
  }

  tell({ type, data, runId }: StreamedEvent): readonly Line[] {
    const key = `${runId} ${String(data['call'])}`;
    switch (type) {
      case 'run.tool-started':
        this.open.set(key, callOf(data));
        return [];
      case 'run.tool-finished': {
        const call = this.open.get(key) ?? callOf(data);
        this.open.delete(key);
        return [finishedLine(call, data)];
      }
      case 'run.finished': {
        const cut = [...this.open].filter(([each]) => each.startsWith(`${runId} `));
        for (const [each] of cut) this.open.delete(each);
        return cut.map(([, { said, indent }]) => ({ text: `${indent}${said}  not finished`, style: 'dim' }));
      }
      default:
        return [];
    }
  }
}

function finishedLine({ said, indent }: Call, { failed, durationMs, output }: StreamedEvent['data']): Line {
  const took = duration(Number(durationMs));
  if (failed !== true) return { text: `${indent}${said}  ${took}` };
  const why = oneLine(firstLine(String(output ?? '')));
  return { text: `${indent}${said}  failed after ${took}${why === '' ? '' : `: ${truncate(why, longest)}`}`, style: 'red' };
}

const firstLine = (text: string): string =>
  text
    .replace(/^\s*<tool_use_error>/, '')
    .trimStart()
    .split('\n', 1)[0] ?? '';

function callOf({ tool, input, parentCall }: StreamedEvent['data']): Call {
  const telling = tellingPart(input);
  const name = oneLine(String(tool));
  return {
    said: truncate(telling === '' ? name : `${name} ${telling}`, longest),
    // What a subagent does stands below the call that started it.
    indent: parentCall === undefined ? '' : '  ',
  };
}

/** What tells most of a call, in this order. */
const tellingKeys = ['command', 'file_path', 'notebook_path', 'pattern', 'url', 'query', 'path', 'description', 'prompt', 'skill'] as const;

function tellingPart(input: unknown): string {
  if (typeof input !== 'object' || input === null) return '';
  const fields: Readonly<Record<string, unknown>> = { ...input };
  const key = [...tellingKeys, ...Object.keys(fields)].find((each) => typeof fields[each] === 'string' && fields[each] !== '');
  return key === undefined ? '' : oneLine(withinWorkspace(String(fields[key])));
}

/** A path in the run's workspace is told from its top, as everybody knows it. */
const withinWorkspace = (text: string): string => text.replaceAll(/\/[^\s'"]*?\/workspaces\/wsp_[0-9A-Z]+\/tree(?:\/|(?=[\s'"]|$))/g, '');
