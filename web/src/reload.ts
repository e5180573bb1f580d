const key = 'nightshift-reloaded-for';

/**
 * For when a file of the page is gone, as it is once the server has been updated: the page is loaded anew, once for each build.
 * False when that was done already, or would lead to nothing; then it has to be said.
 */
export async function reloadOnce(): Promise<boolean> {
  const build = import.meta.url;
  try {
    if (sessionStorage.getItem(key) === build) return false;
    // Without a server a reload would lose what the page still shows.
    if (!(await fetch('/', { method: 'HEAD', cache: 'no-store' })).ok) return false;
    sessionStorage.setItem(key, build);
  } catch {
    return false;
  }
  location.reload();
  return true;
}
