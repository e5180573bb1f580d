import { measureAtSize } from '../measure/at-size.ts';
import { measureEvents } from '../measure/events.ts';
import { loadOverHttp } from '../measure/http-load.ts';
import { endure, fillTasks, manyTasks, measureApi, measureWatchers } from '../measure/load.ts';
import { measureMail } from '../measure/mail.ts';
import { measureNotes } from '../measure/notes.ts';
import { measureRace } from '../measure/race.ts';
import { measureReservations } from '../measure/reservations.ts';
import { measureStreams } from '../measure/streams.ts';

/** What can be asked of a measuring process. */
export const measurements = {
  endure,
  fillTasks,
  measureApi,
  measureAtSize,
  measureEvents,
  loadOverHttp,
  manyTasks,
  measureMail,
  measureNotes,
  measureRace,
  measureReservations,
  measureStreams,
  measureWatchers,
};

export type Measurements = typeof measurements;
export type Measurement = keyof Measurements;
