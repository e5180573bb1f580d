import { measureAtSize } from '../measure/at-size.ts';
import { measureEvents } from '../measure/events.ts';
import { loadOverHttp } from '../measure/http-load.ts';
import { measureMail } from '../measure/mail.ts';
import { measureNotes } from '../measure/notes.ts';
import { measureRace } from '../measure/race.ts';
import { measureReservations } from '../measure/reservations.ts';
import { measureStreams } from '../measure/streams.ts';

/** What can be asked of a measuring process. */
export const measurements = {
  measureAtSize,
  measureEvents,
  loadOverHttp,
  measureMail,
  measureNotes,
  measureRace,
  measureReservations,
  measureStreams,
};

export type Measurements = typeof measurements;
export type Measurement = keyof Measurements;
