/** Runs something without root's power over permissions. Only for code that does its work before it first awaits. */
export function asOrdinaryUser<T>(act: () => T): T {
  const { getuid, seteuid } = process;
  if (getuid?.() !== 0 || !seteuid) return act();
  seteuid(65_534);
  try {
    return act();
  } finally {
    seteuid(0);
  }
}
