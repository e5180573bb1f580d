import { type FormEvent, type ReactNode, useState } from 'react';
import { call, type Refusal } from '../data/api.ts';
import { useListing } from '../data/listing.ts';
import { useLive, useMay, useNow, useSettled } from '../data/use.ts';
import type { NoteView } from '../data/views.ts';
import { Act } from '../parts/act.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Entry } from '../parts/entry.tsx';
import { Field, FormDialog } from '../parts/form.tsx';
import { Icon } from '../parts/icons.tsx';
import { ListingView } from '../parts/listing.tsx';
import { Address, CommandLine, Empty, Prose } from '../parts/text.tsx';
import { toast } from '../parts/toast.tsx';
import { Link } from '../router.tsx';
import { asWritten } from '../text/legible.ts';
import { ago, fullTime } from '../text/time.ts';

type Kind = NoteView['kind'];

const kinds: Readonly<Record<Kind, string>> = {
  learning: 'Lesson',
  investigation: 'Finding',
  failure: 'Failure',
  checkpoint: 'How things stood',
  summary: 'Summary',
};

/** What Nightshift remembers, and agents are reminded of. */
export function Notes(): ReactNode {
  const may = useMay('operator');
  const [words, setWords] = useState('');
  const [kind, setKind] = useState<Kind | ''>('');
  const [condensed, setCondensed] = useState(false);
  const [form, setForm] = useState<NoteView | 'new'>();
  const q = useSettled(words.trim());
  const heard = useLive((state) => state.heard.note);
  const filtered = q !== '' || kind !== '';
  const listing = useListing<NoteView>(
    '/notes',
    { ...(q === '' ? {} : { q }), ...(kind === '' ? {} : { kind }), ...(condensed ? { condensed: 'true' } : {}) },
    heard,
  );

  const remove = async ({ id }: NoteView): Promise<void> => {
    const answer = await call<undefined>('DELETE', `/notes/${id}`);
    toast(answer.ok ? 'good' : 'bad', answer.ok ? 'It is forgotten' : answer.refusal.message);
    await listing.again();
  };

  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>Notes</h1>
          <p className="soft">What agents found out and what you told them. Those that fit a task go with it.</p>
        </div>
        {may && (
          <Act className="primary" onClick={() => setForm('new')}>
            <Icon name="plus" /> New note
          </Act>
        )}
      </header>
      {form !== undefined && (
        <NoteForm note={form === 'new' ? undefined : form} onClose={() => setForm(undefined)} onSaved={listing.again} />
      )}
      <search className="filters">
        <label className="search">
          <Icon name="search" size={16} />
          <span className="sr">Search the notes</span>
          <input type="search" placeholder="Search" value={words} maxLength={2000} onChange={(event) => setWords(event.target.value)} />
        </label>
        <label>
          <span className="sr">Kind</span>
          <select value={kind} onChange={(event) => setKind(event.target.value as Kind | '')}>
            <option value="">Any kind</option>
            {(Object.keys(kinds) as Kind[]).map((each) => (
              <option key={each} value={each}>
                {kinds[each]}
              </option>
            ))}
          </select>
        </label>
        <label className="choice">
          <input type="checkbox" checked={condensed} onChange={(event) => setCondensed(event.target.checked)} /> Condensed too
        </label>
      </search>
      <ListingView
        listing={listing}
        empty={
          filtered ? (
            <Empty title="No note says that">
              <p>Words are found by their stem, and names of code by their parts.</p>
            </Empty>
          ) : (
            <NothingRemembered />
          )
        }
      >
        {(note) => <NoteRow key={note.id} note={note} edit={may ? () => setForm(note) : undefined} remove={() => remove(note)} />}
      </ListingView>
    </div>
  );
}

const NothingRemembered = (): ReactNode => (
  <Empty title="Nothing is remembered yet">
    <p>
      Agents write down what will be worth knowing later, and a run that ends badly leaves a note that says why. Tell them yourself what
      every newcomer to a repository should know, here or from the command line:
    </p>
    <CommandLine
      command={'npx nightshift notes add "The tests need UTC" --text "Set TZ=UTC." --repository https://github.com/you/project'}
    />
  </Empty>
);

interface RowProps {
  readonly note: NoteView;
  /** Undefined for those who may not. */
  readonly edit: (() => void) | undefined;
  readonly remove: () => Promise<void>;
}

function NoteRow({ note, edit, remove }: RowProps): ReactNode {
  const now = useNow(60_000);
  const { title, kind, repository, trust, times, updatedAt, supersededBy } = note;
  return (
    <Entry
      title={title}
      about={
        <>
          {kinds[kind]} · {repository === null ? 'about all repositories' : <Address text={repository} />} ·{' '}
          <time dateTime={updatedAt} title={fullTime(updatedAt)}>
            {ago(updatedAt, now)}
          </time>
          {times > 1 && ` · said ${times} times`}
        </>
      }
      badges={
        <>
          {supersededBy !== null && <span className="badge">Condensed</span>}
          {trust === 'untrusted' && <span className="badge warn">Untrusted</span>}
        </>
      }
      actions={
        edit && (
          <>
            <Act className="small" onClick={edit} aria-label={`Edit ${title}`}>
              Edit
            </Act>
            <Confirm ask="Delete" yes="Delete it" of={title} perform={remove} />
          </>
        )
      }
    >
      {() => <NoteBody note={note} />}
    </Entry>
  );
}

function NoteBody({ note: { text, tags, origin, importance, trust } }: { readonly note: NoteView }): ReactNode {
  return (
    <>
      <Prose text={text} />
      {tags.length > 0 && (
        <ul className="chips" aria-label="Tags">
          {tags.map((tag) => (
            <li key={tag} className="chip">
              <span className="truncate">{tag}</span>
            </li>
          ))}
        </ul>
      )}
      <p className="soft">
        {origin.runId !== null ? (
          <>
            Of <Link to={`/runs/${origin.runId}`}>a run</Link>
          </>
        ) : origin.taskId !== null ? (
          <>
            Of <Link to={`/tasks/${origin.taskId}`}>a task</Link>
          </>
        ) : (
          `By ${origin.name ?? 'somebody'}`
        )}{' '}
        · importance {importance} of 10
        {trust === 'untrusted' && ' · agents see it as data that nobody vouches for'}
      </p>
    </>
  );
}

interface FormProps {
  /** Undefined makes a new one. */
  readonly note: NoteView | undefined;
  readonly onClose: () => void;
  readonly onSaved: () => Promise<void>;
}

function NoteForm({ note, onClose, onSaved }: FormProps): ReactNode {
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<Refusal>();
  /** What anybody else writes is data to agents, whatever they say of it. */
  const vouches = useMay('owner');
  const refused = refusal?.fields ?? {};

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const wish = {
      ...wishOf(form, note === undefined ? (text) => text : asWritten),
      ...(vouches ? { trust: form.has('untrusted') ? 'untrusted' : 'trusted' } : {}),
    };
    setBusy(true);
    const answer = await (note === undefined ? call<NoteView>('POST', '/notes', wish) : call<NoteView>('PATCH', `/notes/${note.id}`, wish));
    setBusy(false);
    if (!answer.ok) return setRefusal(answer.refusal);
    toast('good', answer.value.times > 1 && note === undefined ? 'It was known, and counts once more' : 'It is remembered');
    onClose();
    await onSaved();
  }

  return (
    <FormDialog
      title={note === undefined ? 'New note' : 'Edit the note'}
      submit={note === undefined ? 'Remember it' : 'Save'}
      busy={busy}
      refusal={refusal}
      onSubmit={submit}
      onClose={onClose}
    >
      <Field name="title" label="Title" refused={refused}>
        {(props) => <input {...props} required maxLength={200} defaultValue={note?.title} autoComplete="off" />}
      </Field>
      <Field
        name="text"
        label="What to know"
        hint="As you would tell a new colleague. What looks like a secret is blanked."
        refused={refused}
      >
        {(props) => <textarea {...props} required rows={6} maxLength={16_000} defaultValue={note?.text} />}
      </Field>
      <Field name="repository" label="Repository" hint="Empty for all of them." refused={refused}>
        {(props) => (
          <input
            {...props}
            defaultValue={note?.repository ?? ''}
            placeholder="https://github.com/you/project"
            autoComplete="off"
            spellCheck={false}
          />
        )}
      </Field>
      <div className="pair">
        <Field name="kind" label="Kind" refused={refused}>
          {(props) => (
            <select {...props} defaultValue={note?.kind ?? 'learning'}>
              {(Object.keys(kinds) as Kind[]).map((each) => (
                <option key={each} value={each}>
                  {kinds[each]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field name="importance" label="Importance, from 1 to 10" refused={refused}>
          {(props) => <input {...props} type="number" min="1" max="10" step="1" required defaultValue={note?.importance ?? 5} />}
        </Field>
      </div>
      <Field name="tags" label="Tags" hint="Separated by commas." refused={refused}>
        {(props) => <input {...props} defaultValue={note?.tags.join(', ')} autoComplete="off" />}
      </Field>
      {vouches ? (
        <label className="choice">
          <input type="checkbox" name="untrusted" defaultChecked={note?.trust === 'untrusted'} /> Show it to agents as data only
        </label>
      ) : (
        <p className="hint-line">Agents see it as data: only the owner writes what they may rely on.</p>
      )}
    </FormDialog>
  );
}

/** What was filled in, in the API's words; and of what was there already, in its own. */
function wishOf(form: FormData, own: (text: string) => string): Record<string, unknown> {
  const said = (name: string): string => own(String(form.get(name) ?? '').trim());
  return {
    title: said('title'),
    text: said('text'),
    repository: said('repository') || null,
    kind: said('kind'),
    importance: Number(said('importance')),
    tags: said('tags')
      .split(',')
      .map((each) => each.trim())
      .filter(Boolean),
  };
}
