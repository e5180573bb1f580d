import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { atSize } from './suites/at-size.ts';
import { bigWorkspace } from './suites/big-workspace.ts';
import { checkpoints } from './suites/checkpoints.ts';
import { concurrentRuns } from './suites/concurrent-runs.ts';
import { dashboard } from './suites/dashboard.ts';
import { endToEnd } from './suites/end-to-end.ts';
import { events } from './suites/events.ts';
import { firstRequest } from './suites/first-request.ts';
import { gates } from './suites/gates.ts';
import { gateway } from './suites/gateway.ts';
import { hooks } from './suites/hooks.ts';
import { idle } from './suites/idle.ts';
import { load } from './suites/load.ts';
import { notes } from './suites/notes.ts';
import { restart } from './suites/restart.ts';
import { resume } from './suites/resume.ts';
import { sandboxStart } from './suites/sandbox-start.ts';
import { submissions } from './suites/submissions.ts';
import type { Suite } from './suites/suite.ts';
import { webhooks } from './suites/webhooks.ts';
import { dialects, openBench } from './support/bench.ts';
import { describeMachine } from './support/machine.ts';
import { renderSection, type Section } from './support/report.ts';
import { Scope } from './support/scope.ts';
import { fullSizes, quickSizes } from './support/sizes.ts';

const suites: readonly Suite[] = [
  idle,
  restart,
  events,
  submissions,
  webhooks,
  endToEnd,
  atSize,
  notes,
  sandboxStart,
  firstRequest,
  resume,
  hooks,
  concurrentRuns,
  gateway,
  bigWorkspace,
  checkpoints,
  gates,
  dashboard,
  load,
];
const names = suites.flatMap((suite) => suite.names);

const usage = `usage: npm run bench -- [--quick] [--only NAME[,NAME…]] [--minutes N] [--tasks N] [--store NAME] [--json FILE] [--readme]
  --quick      small sizes, in two minutes: shows that it works, not how fast
  --only NAME  ${names.join(', ')}
  --minutes N  for how long "load-leaks" loads a server of each kind, at most
  --tasks N    with how many tasks it is content before that
  --store NAME sqlite or postgres; both when it is not said
  --json FILE  writes the figures there as well
  --readme     puts them in bench/README.md, in place of the last ones
`;

async function main(): Promise<void> {
  const { quick, only, minutes, tasks, store, json, readme, help } = parseArgs({
    options: {
      quick: { type: 'boolean' },
      only: { type: 'string' },
      minutes: { type: 'string' },
      tasks: { type: 'string' },
      store: { type: 'string' },
      json: { type: 'string' },
      readme: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  }).values;
  const wanted = new Set(only?.split(',') ?? names);
  const unknown = [...wanted].filter((name) => !names.includes(name));
  const sizes = quick ? quickSizes : fullSizes;
  const loadMinutes = minutes === undefined ? sizes.load.minutes : Number(minutes);
  if (!(loadMinutes > 0)) unknown.push(`--minutes ${minutes}`);
  const endureTasks = tasks === undefined ? sizes.load.endureTasks : Number(tasks);
  if (!(endureTasks > 0)) unknown.push(`--tasks ${tasks}`);
  if (store !== undefined && !dialects.some((each) => each === store)) unknown.push(`--store ${store}`);
  if (help || unknown.length > 0) {
    process.stdout.write(unknown.length > 0 ? `unknown: ${unknown.join(', ')}\n${usage}` : usage);
    process.exitCode = help ? 0 : 2;
    return;
  }

  const scope = new Scope();
  const abandon = (code: number): void => void scope.end().finally(() => process.exit(code));
  process.once('SIGINT', () => abandon(130));
  process.once('SIGTERM', () => abandon(143));
  // `npm run bench | head` closes the pipe early; what was started must end all the same.
  process.stdout.once('error', () => abandon(0));
  process.once('uncaughtException', (error) => {
    console.error(error);
    abandon(1);
  });
  const began = performance.now();
  const sections: Section[] = [];
  const show = (section: Section): void => {
    sections.push(section);
    process.stdout.write(renderSection(section));
  };
  const progress = (text: string): void => void (process.stderr.isTTY && process.stderr.write(`\x1b[2K… ${text}\r`));
  try {
    show(describeMachine());
    const bench = openBench(
      { ...sizes, load: { ...sizes.load, minutes: loadMinutes, endureTasks } },
      scope,
      progress,
      dialects.filter((each) => (store ?? each) === each),
    );
    for (const suite of suites) {
      if (!suite.names.some((name) => wanted.has(name))) continue;
      for (const section of await suite.run(bench, wanted)) show(section);
    }
  } finally {
    await scope.end();
  }
  const seconds = Math.round((performance.now() - began) / 1_000);
  const closing = `Measured on ${new Date().toISOString().slice(0, 10)} in ${Math.floor(seconds / 60)} min ${seconds % 60} s${quick ? ' at the quick sizes' : ''}.`;
  process.stdout.write(`\n${closing}\n`);
  if (json) {
    const figures = { date: new Date().toISOString(), quick: quick ?? false, seconds, sections };
    writeFileSync(json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  if (readme) putInReadme(closing, sections);
}

const resultsHeading = '## Results\n';

function putInReadme(closing: string, sections: readonly Section[]): void {
  const file = new URL('./README.md', import.meta.url);
  const [explanation] = readFileSync(file, 'utf8').split(resultsHeading);
  const figures = sections.map(renderSection).join('').trim();
  writeFileSync(file, `${explanation}${resultsHeading}\n${closing}\n\n\`\`\`text\n${figures}\n\`\`\`\n`);
}

await main();
