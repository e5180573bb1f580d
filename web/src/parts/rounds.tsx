import { type ReactNode, useState } from 'react';
import type { RunView } from '../data/views.ts';
import { clockTime, duration, fullTime } from '../text/time.ts';
import { withinWorkspace } from '../text/tool.ts';
import { Icon } from './icons.tsx';
import { Part } from './scrolling.tsx';
import { Empty } from './text.tsx';

type Round = RunView['rounds'][number];
type Verdict = Round['verdicts'][number];

/** What the gates said each time that the agent stopped, the last time first. */
export function Rounds({ run }: { readonly run: RunView }): ReactNode {
  if (run.rounds.length === 0) {
    return (
      <Empty title={run.status === 'running' ? 'The gates have not been asked yet' : 'No gate was asked'}>
        <p>
          When an agent says that it is done, gates look whether it is: the build, the tests, the size of the change, secrets in it. What is
          red goes back to the agent, round after round. Each round is listed here with its evidence.
        </p>
      </Empty>
    );
  }
  return (
    <div className="rounds">
      {[...run.rounds].reverse().map((round) => (
        <section key={round.number} className="section" aria-label={`Round ${round.number}`}>
          <header>
            <h2>
              Round {round.number} <span className="soft">{outcomeOf(round)}</span>
            </h2>
            <time className="at" dateTime={round.at} title={fullTime(round.at)}>
              {clockTime(round.at)}
            </time>
          </header>
          <ul className="list tight">
            {round.verdicts.map((verdict) => (
              <VerdictRow key={verdict.gate} verdict={verdict} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

const rules: Readonly<Record<NonNullable<Round['rule']>, string>> = {
  'round-limit': 'it has had all its rounds',
  'no-progress': 'nothing changed any more',
  'same-error': 'the same error came again and again',
  'out-of-time': 'its time was up',
  'no-evidence': 'nothing green speaks for the change',
  'not-judged': 'nobody could judge whether it is done',
  'permission-denied': 'the same was refused again',
};

function outcomeOf({ decision, rule, verdicts }: Round): string {
  if (decision === 'continue') return 'the agent was told, and went on';
  if (decision === 'stop') return rule === null ? 'given up' : `given up: ${rules[rule]}`;
  return verdicts.some(({ excuse }) => excuse !== null && excuse !== 'flaky') ? 'taken, although not all is green' : 'all green';
}

/** Why a gate that said no does not count as red. */
export const excuses: Readonly<Record<NonNullable<Verdict['excuse']>, string>> = {
  flaky: 'Flaky',
  'red-before': 'Red before too',
  'cannot-run': 'Cannot run here',
};

function VerdictRow({ verdict }: { readonly verdict: Verdict }): ReactNode {
  const { gate, passed, excuse, summary, durationMs, cached, findings, command, output } = verdict;
  const [open, setOpen] = useState(false);
  const tone = !passed ? 'bad' : excuse === null ? 'good' : 'warn';
  const word = !passed ? 'Red' : excuse === null ? 'Green' : excuses[excuse];
  const head = (
    <>
      <span className={`mark ${tone}`} role="img" aria-label={word} title={word}>
        <Icon name={!passed ? 'cross' : excuse === null ? 'check' : 'dash'} size={14} />
      </span>
      <span className="verdict-words">
        <span className="tool-name">{gate}</span> <span className="soft">{summary}</span>
      </span>
      {excuse !== null && <span className="badge warn">{excuses[excuse]}</span>}
      <span className="soft tabular">{cached ? 'as before' : duration(durationMs)}</span>
    </>
  );
  const hasEvidence = findings.length > 0 || command !== null || output !== null;
  if (!hasEvidence) {
    return (
      <li className="verdict">
        {head}
        <span className="no-fold" />
      </li>
    );
  }
  return (
    <li>
      <button type="button" className="verdict" aria-expanded={open} onClick={() => setOpen(!open)}>
        {head}
        <Icon name="chevron" size={16} />
      </button>
      {open && <Evidence verdict={verdict} />}
    </li>
  );
}

function Evidence({ verdict: { command, exitCode, counts, findings, output } }: { readonly verdict: Verdict }): ReactNode {
  return (
    <div className="evidence">
      {command !== null && (
        <p>
          <span className="code">{withinWorkspace(command.join(' '))}</span>
          <span className="soft">
            {exitCode !== null && ` · exit code ${exitCode}`}
            {counts && ` · ${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`}
          </span>
        </p>
      )}
      {findings.length > 0 && (
        <ul aria-label="Findings">
          {findings.map(({ path, line, text }) => (
            <li key={`${path}:${line} ${text}`}>
              {path !== null && <span className="code">{line === null ? path : `${path}:${line}`}</span>} {text}
            </li>
          ))}
        </ul>
      )}
      {output !== null && output !== '' && <Part name="The end of what it printed" text={withinWorkspace(output)} />}
    </div>
  );
}
