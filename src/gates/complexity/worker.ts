import { parentPort, workerData } from 'node:worker_threads';
import { measure, type Source } from './measure.ts';

// A thread of its own: sources are hostile, and one that keeps the parser busy is ended with its thread.
// From here on it is the sources' doing when it breaks down.
parentPort?.postMessage('ready');
for await (const functions of measure(workerData as readonly Source[])) parentPort?.postMessage(functions);
