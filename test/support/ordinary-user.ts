/** Runs something without root's power over permissions. Nothing else may go on in the process meanwhile. */
export async function asOrdinaryUser<T>(act: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0 || !process.seteuid) return act();
  process.seteuid(65_534);
  try {
    return await act();
  } finally {
    process.seteuid(0);
  }
}
