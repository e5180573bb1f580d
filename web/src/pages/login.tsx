import { type FormEvent, type ReactNode, useId, useState } from 'react';
import { signIn } from '../data/live.ts';
import { Logo } from '../parts/icons.tsx';
import { CommandLine, Prose } from '../parts/text.tsx';

export function Login(): ReactNode {
  const [key, setKey] = useState('');
  const [refused, setRefused] = useState<string>();
  const [busy, setBusy] = useState(false);
  const id = useId();

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    const answer = await signIn({ key: key.trim() });
    setBusy(false);
    if (!answer.ok) setRefused(answer.refusal.message);
  }

  return (
    <main className="login">
      <div className="login-card">
        <Logo />
        <h1>Nightshift</h1>
        <p className="soft">Coding agents at work around the clock. Log in to see what they do.</p>
        <form onSubmit={submit}>
          <input type="text" name="username" value="owner" autoComplete="username" readOnly hidden />
          <div className="field">
            <label htmlFor={id}>API key</label>
            <input
              id={id}
              type="password"
              autoComplete="current-password"
              spellCheck={false}
              required
              value={key}
              onChange={(event) => setKey(event.target.value)}
              aria-invalid={refused !== undefined}
              aria-describedby={`${id}-refused`}
            />
            <div id={`${id}-refused`} className="refused" role="alert">
              {refused !== undefined && <Prose text={refused} />}
            </div>
          </div>
          <button type="submit" className="primary wide" disabled={busy || key.trim() === ''}>
            {busy ? 'Logging in…' : 'Log in'}
          </button>
        </form>
        <div className="login-help">
          <p className="soft">On the server, this prints a link that logs you in without typing:</p>
          <CommandLine command="npx nightshift token link" />
        </div>
      </div>
    </main>
  );
}
