import { type FormEvent, type ReactNode, useEffect, useId, useState } from 'react';
import { type Answer, call, get } from '../data/api.ts';
import { useLive, useNow } from '../data/use.ts';
import { type KeyView, type Role, roles } from '../data/views.ts';
import { ago } from '../text/time.ts';
import { Act } from './act.tsx';
import { Confirm } from './confirm.tsx';
import { CommandLine } from './text.tsx';
import { toast } from './toast.tsx';

interface Keys {
  readonly items: readonly KeyView[];
  /** What a key can be held to. */
  readonly scopes: readonly string[];
}
type NewSecret = KeyView & { readonly secret: string };

/** API keys for programs and people beside the owner. */
export function ApiKeys(): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const [keys, setKeys] = useState<Keys>();
  const [refused, setRefused] = useState<string>();
  const [made, setMade] = useState<NewSecret>();

  const load = async (): Promise<void> => {
    const answer = await get<Keys>('/keys');
    if (answer.ok) setKeys(answer.value);
    setRefused(answer.ok ? undefined : answer.refusal.message);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: again when the connection is back, and only then
  useEffect(() => {
    if (live) void load();
  }, [live]);

  const revoke = async ({ id, name }: KeyView): Promise<void> => {
    const answer = await call<KeyView>('POST', `/keys/${id}/revoke`);
    toast(answer.ok ? 'good' : 'bad', answer.ok ? `${name} is worth nothing any more` : answer.refusal.message);
    if (made?.id === id) setMade(undefined);
    await load();
  };

  const shown = keys?.items.filter(({ state }) => state !== 'revoked') ?? [];
  return (
    <section className="card" aria-label="API keys">
      <h2>API keys</h2>
      <p className="soft">For programs, and for people who are to see or do less than you. Your own key is none of these.</p>
      {keys === undefined ? (
        <p className="soft" role="status">
          {refused ?? (live ? 'Loading…' : 'This list is not kept for reading offline.')}
        </p>
      ) : (
        <>
          {shown.length > 0 && (
            <ul className="list">
              {shown.map((key) => (
                <KeyRow key={key.id} apiKey={key} revoke={() => revoke(key)} />
              ))}
            </ul>
          )}
          {made && (
            <div role="status">
              <p>
                This is the secret of <strong>{made.name}</strong>. It is shown once.
              </p>
              <CommandLine command={made.secret} what="the secret" />
            </div>
          )}
          <NewKey
            scopes={keys.scopes}
            create={async (wish) => {
              const answer = await call<NewSecret>('POST', '/keys', wish);
              if (answer.ok) {
                setMade(answer.value);
                await load();
              }
              return answer;
            }}
          />
        </>
      )}
    </section>
  );
}

function KeyRow({ apiKey, revoke }: { readonly apiKey: KeyView; readonly revoke: () => Promise<void> }): ReactNode {
  const now = useNow(30_000);
  const { name, role, scopes, state, lastUsedAt, expiresAt } = apiKey;
  return (
    <li className="item">
      <div className="grow">
        <span className="title">{name}</span>
        <p className="step whole">
          {role}
          {scopes !== null && `, only ${scopes.join(', ')}`} · {lastUsedAt === null ? 'never used' : `used ${ago(lastUsedAt, now)}`}
          {expiresAt === null ? ' · does not expire' : state === 'active' && ` · expires ${ago(expiresAt, now)}`}
        </p>
      </div>
      {state === 'expired' && <span className="badge calm">Expired</span>}
      <div className="row">
        <Confirm ask="Revoke" yes="Revoke it" of={name} perform={revoke} />
      </div>
    </li>
  );
}

const about: Readonly<Record<Role, string>> = {
  viewer: 'Viewer: sees everything, changes nothing',
  operator: 'Operator: gives work, decides about it',
  owner: 'Owner: also money, profiles and keys',
};

const lives = [
  ['30', '30 days'],
  ['90', '90 days'],
  ['365', 'A year'],
  ['', 'Until it is revoked'],
] as const;

const dayMs = 86_400_000;

function NewKey({
  scopes,
  create,
}: {
  readonly scopes: readonly string[];
  readonly create: (wish: object) => Promise<Answer<NewSecret>>;
}): ReactNode {
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<string>();

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const form = event.currentTarget;
    const filled = new FormData(form);
    const days = String(filled.get('life'));
    const held = String(filled.get('scopes'))
      .split(/[\s,]+/)
      .filter(Boolean);
    setBusy(true);
    const answer = await create({
      name: String(filled.get('name')).trim(),
      role: filled.get('role'),
      expiresAt: days === '' ? null : new Date(Date.now() + Number(days) * dayMs).toISOString(),
      ...(held.length > 0 ? { scopes: held } : {}),
    });
    setBusy(false);
    setRefused(answer.ok ? undefined : answer.refusal.message);
    if (answer.ok) form.reset();
  }

  return (
    <details>
      <summary>New key</summary>
      <form className="more-fields" onSubmit={submit}>
        <div className="pair">
          <div className="field">
            <label htmlFor={`${id}-name`}>Name</label>
            <input id={`${id}-name`} name="name" required maxLength={60} placeholder="ci" autoComplete="off" spellCheck={false} />
          </div>
          <div className="field">
            <label htmlFor={`${id}-life`}>Good for</label>
            <select id={`${id}-life`} name="life" defaultValue="90">
              {lives.map(([days, name]) => (
                <option key={days} value={days}>
                  {name}
                </option>
              ))}
            </select>
          </div>
        </div>
        <div className="field">
          <label htmlFor={`${id}-role`}>Role</label>
          <select id={`${id}-role`} name="role" defaultValue="viewer">
            {roles.map((role) => (
              <option key={role} value={role}>
                {about[role]}
              </option>
            ))}
          </select>
        </div>
        <div className="field">
          <label htmlFor={`${id}-scopes`}>Held to</label>
          <input
            id={`${id}-scopes`}
            name="scopes"
            placeholder="everything that the role may"
            autoComplete="off"
            spellCheck={false}
            aria-describedby={`${id}-scopes-hint`}
          />
          <p id={`${id}-scopes-hint`} className="hint-line">
            Any of {scopes.join(', ')}; each with :read for looking only. Such a key is for programs, not for this page.
          </p>
        </div>
        <p className="refused" role="alert">
          {refused}
        </p>
        <div className="row">
          <Act type="submit" className="primary" disabled={busy}>
            Make the key
          </Act>
        </div>
      </form>
    </details>
  );
}
