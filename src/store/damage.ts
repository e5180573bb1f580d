import { Worker } from 'node:worker_threads';

/** Searches the embedded database for damage, in a thread of its own: that takes seconds for one of a gigabyte. */
export function findDamage(database: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const worker = new Worker(new URL('./damage-thread.ts', import.meta.url), { workerData: database });
    const stop = (): void => void worker.terminate();
    signal.addEventListener('abort', stop, { once: true });
    worker.once('message', (damage: string) => resolve(damage === 'ok' ? undefined : damage));
    worker.once('error', reject);
    worker.once('exit', () => {
      signal.removeEventListener('abort', stop);
      reject(new Error('The search for damage was ended.'));
    });
  });
}
