import { type ReactNode, useMemo, useState } from 'react';
import type { RunView } from '../data/views.ts';
import { addedUp } from '../text/chart.ts';
import { type FileDiff, type Line, parseDiff } from '../text/diff.ts';
import { highlight, languageOf } from '../text/highlight.ts';
import { Icon } from './icons.tsx';
import { Scrolling } from './scrolling.tsx';

/** The patch of a run, file by file. Long ones begin folded, and so does what comes after enough of others. */
export function DiffView({ run }: { readonly run: RunView }): ReactNode {
  const files = useMemo(() => parseDiff(run.diff ?? ''), [run.diff]);
  const before = useMemo(() => [0, ...addedUp(files.map(lengthOf))], [files]);
  const missing = run.filesChanged.filter(({ path }) => !files.some((file) => file.path === path));
  return (
    <div className="diff">
      {files.map((file, index) => (
        <File
          key={`${file.kind} ${file.from ?? ''} ${file.path}`}
          file={file}
          opens={lengthOf(file) <= longFile && (before[index] ?? 0) <= enough}
        />
      ))}
      {run.diffTruncated && (
        <p className="banner warn">
          The patch is longer than what is kept here
          {run.diffFile !== null && (
            <>
              ; the whole of it is on the server in <span className="code">{run.diffFile}</span>
            </>
          )}
          .
        </p>
      )}
      {missing.length > 0 && (
        <ul className="list tight" aria-label="Changed as well">
          {missing.map(({ path, kind }) => (
            <li key={path} className="line">
              <Icon name="file" size={16} /> <span className="code grow">{visible(path)}</span> <span className="soft">{kind}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** A line break in a name would look like a blank. */
const visible = (path: string): string => path.replaceAll(/\p{Cc}/gu, (each) => JSON.stringify(each).slice(1, -1));

const lengthOf = ({ hunks }: FileDiff): number => hunks.reduce((sum, { lines }) => sum + lines.length, 0);
const longFile = 600;
/** Of more lines than this nobody reads all, and a page takes a second to draw them. */
const enough = 2_000;

function File({ file, opens }: { readonly file: FileDiff; readonly opens: boolean }): ReactNode {
  const [open, setOpen] = useState(opens);
  const remarks = file.binary ? ['A binary file.', ...file.remarks] : file.remarks;
  return (
    <section className="diff-file" aria-label={file.path}>
      <button type="button" className="diff-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="chevron" size={16} />
        <span className="code grow">
          {file.from !== undefined && file.from !== file.path && <span className="soft">{visible(file.from)} → </span>}
          {visible(file.path)}
        </span>
        {file.kind !== 'modified' && <span className="chip">{file.kind}</span>}
        {!file.binary && (
          <>
            <span className="plus">+{file.additions}</span>
            <span className="minus">−{file.deletions}</span>
          </>
        )}
      </button>
      {open && remarks.length > 0 && <p className="soft diff-remark">{remarks.join(' ')}</p>}
      {open && file.hunks.length > 0 && <Hunks file={file} />}
    </section>
  );
}

function Hunks({ file }: { readonly file: FileDiff }): ReactNode {
  const language = languageOf(file.path);
  return (
    <Scrolling className="diff-body" label={`Patch of ${file.path}`}>
      <table>
        {file.hunks.map((hunk, index) => (
          <tbody key={`${hunk.lines[0]?.before} ${hunk.lines[0]?.after}`}>
            {index > 0 || hunk.header !== '' ? (
              <tr className="hunk">
                <td />
                <td />
                <td>{hunk.header === '' ? '⋯' : `⋯ ${hunk.header}`}</td>
              </tr>
            ) : null}
            {hunk.lines.map((line) => (
              <tr key={line.at} className={line.kind}>
                <td className="number">{line.before}</td>
                <td className="number">{line.after}</td>
                <td className="text">
                  <Code line={line} language={language} />
                </td>
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </Scrolling>
  );
}

const signs: Readonly<Record<Line['kind'], string>> = { added: '+', removed: '-', same: ' ', remark: ' ' };

function Code({ line, language }: { readonly line: Line; readonly language: ReturnType<typeof languageOf> }): ReactNode {
  const tokens = line.kind === 'remark' ? [{ kind: 'comment' as const, text: line.text, at: 0 }] : highlight(line.text, language);
  return (
    <>
      <span className="sign">{signs[line.kind]}</span>
      {tokens.map(({ kind, text, at }) =>
        kind === 'plain' ? (
          text
        ) : (
          <span key={at} className={`tok ${kind}`}>
            {text}
          </span>
        ),
      )}
    </>
  );
}
