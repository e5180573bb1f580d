/** git's own rules for names of references (git check-ref-format), so that none that it would refuse or misread gets near it. */

const forbidden = /[\p{Cc} ~^:?*[\\]/u;
/** A reference is a file, and while it is written also one with `.lock` behind it. */
const longestPart = 240;
const longestName = 1_000;

/** Whether `refs/heads/<name>` is a branch that git accepts and that no option parser can take for an option. */
export function isBranchName(name: string): boolean {
  return isRefName(name) && !name.startsWith('-') && name !== 'HEAD' && name !== '@';
}

/** Whether `refs/<anything>/<name>` is a valid reference. */
function isRefName(name: string): boolean {
  if (name === '' || Buffer.byteLength(name) > longestName || !name.isWellFormed()) return false;
  if (forbidden.test(name) || name.includes('..') || name.includes('@{') || name.endsWith('.')) return false;
  return name
    .split('/')
    .every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock') && Buffer.byteLength(part) <= longestPart);
}

export const isCommitId = (text: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);

/** What a task may give as its ref: a branch, a tag, a full reference, or a commit. */
export const isRevision = (text: string): boolean => isBranchName(text);

/** All that Nightshift makes stands under this, so that it is known for ours everywhere. */
const branchPrefix = 'nightshift/';

/** Always a valid branch, whatever people put in titles. */
export function branchFor(taskId: string, title: string): string {
  const id = taskId.replaceAll(/[^A-Za-z0-9_]+/g, '') || 'task';
  const words = title
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-');
  const slug = words.slice(0, 48).replace(/^-+/, '').replace(/-+$/, '');
  return `${branchPrefix}${id.slice(0, 100)}${slug === '' ? '' : `-${slug}`}`;
}
