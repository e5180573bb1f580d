/** Whether an hour of the day (0 to 23) falls into a shift. */
export function covers(shift, hour) {
  return hour >= shift.from && hour < shift.to;
}

/** The names of those on duty at an hour, in the order of the rota. */
export function onDuty(rota, hour) {
  return rota.filter((shift) => covers(shift, hour)).map((shift) => shift.name);
}
