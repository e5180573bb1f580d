import { type ReactNode, useEffect, useState } from 'react';
import { piecesOf } from '../text/pieces.ts';
import { tailOf } from '../text/repository.ts';
import { Icon } from './icons.tsx';
import { toast } from './toast.tsx';

/** Text of somebody else: never markup. Code is set as code, and addresses on the web can be followed. */
export function Prose({ text }: { readonly text: string }): ReactNode {
  return (
    <div className="prose">
      {piecesOf(text).map((piece) => {
        const key = piece.at;
        switch (piece.kind) {
          case 'block':
            return <pre key={key}>{piece.text}</pre>;
          case 'code':
            return <code key={key}>{piece.text}</code>;
          case 'strong':
            return <strong key={key}>{piece.text}</strong>;
          case 'link':
            return (
              <a key={key} href={piece.text} target="_blank" rel="noopener noreferrer">
                {piece.text}
              </a>
            );
          case 'text':
            return <span key={key}>{piece.text}</span>;
          default:
            return null;
        }
      })}
    </div>
  );
}

/** An address that came from outside: a link when it leads to the web, else only shown; of a long path its end, unless all of it matters. */
export function Address({ text, whole = false }: { readonly text: string; readonly whole?: boolean }): ReactNode {
  const leadsToWeb = /^https?:\/\//.test(text) && URL.canParse(text);
  if (!leadsToWeb) {
    return (
      <span className="code" title={text}>
        {whole ? text : tailOf(text)}
      </span>
    );
  }
  return (
    <a className="code" href={text} target="_blank" rel="noopener noreferrer">
      {text.replace(/^https?:\/\//, '').replace(/\.git$/, '')}
    </a>
  );
}

/** A command to be run elsewhere, or what else is to be taken there. */
export function CommandLine({ command, what = 'the command' }: { readonly command: string; readonly what?: string }): ReactNode {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = (): void => {
    // Browsers offer the clipboard only to pages that came over a connection they trust.
    if (!navigator.clipboard) {
      toast('bad', 'This browser lets pages copy only over https. Select the text instead.');
      return;
    }
    navigator.clipboard.writeText(command).then(
      () => setCopied(true),
      () => toast('bad', 'The browser did not let us copy. Select the text instead.'),
    );
  };
  return (
    <div className="command">
      <code>{command}</code>
      <button type="button" className="ghost small" onClick={copy} aria-label={copied ? 'Copied' : `Copy ${what}`}>
        <Icon name={copied ? 'check' : 'copy'} size={16} />
      </button>
    </div>
  );
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }): ReactNode {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}
