import type { Clock } from '../platform/clock.ts';
import { isDemo } from '../store/demos.ts';
import type { Store } from '../store/store.ts';
import type { Budgets, Paid } from './budgets.ts';
import type { Models } from './models.ts';
import { rehearsalProvider } from './providers/rehearsal.ts';
import { demoScript } from './rehearsal/demo.ts';

interface Door {
  readonly models: Models;
  readonly budgets: Pick<Budgets, 'open'>;
}

/**
 * The same door, but that calls for a task of the demo are answered by its script: whatever providers are set up, none is
 * asked, nothing is reserved, and nothing is booked. Without `models`, nobody else's calls can come here.
 */
export function withDemo(
  { store, clock }: { readonly store: Store; readonly clock: Clock },
  { models, budgets }: { readonly models: Models | undefined; readonly budgets: Pick<Budgets, 'open'> },
): Door {
  const provider = rehearsalProvider([demoScript()], clock);
  const demos = rememberedDemos(store);
  return {
    models: {
      async answer(request, signal, tries) {
        const scripted = await demos(request.caller.taskId);
        if (!scripted && models) return models.answer(request, signal, tries);
        if (!scripted) throw new Error('a model was asked, and there is no provider');
        const { model } = request.message;
        const served = { provider: provider.name, model: typeof model === 'string' ? model : null, keyId: null };
        return { response: await provider.answer(request, signal), served, lost: false };
      },
    },
    budgets: {
      async open(request, signal) {
        return (await demos(request.caller.taskId)) ? { kind: 'open', paid: gratis } : budgets.open(request, signal);
      },
    },
  };
}

const gratis: Paid = {
  outputTokens: Number.POSITIVE_INFINITY,
  overBudget: false,
  tried: () => undefined,
  payAgain: async () => undefined,
  settle: () => undefined,
};

/** Whose task is a demo's never changes. Only so many are remembered. */
function rememberedDemos({ read }: Store, most = 1_000): (taskId: string | null) => Promise<boolean> {
  const known = new Map<string, boolean>();
  return async (taskId) => {
    if (taskId === null) return false;
    const remembered = known.get(taskId);
    if (remembered !== undefined) return remembered;
    const found = await isDemo(read, taskId);
    known.set(taskId, found);
    if (known.size > most) known.delete(known.keys().next().value as string);
    return found;
  };
}
