/** Told by their names, as test runners tell them. */
const testFile =
  /(?:^|\/)(?:tests?|__tests__|spec|specs|e2e)\/|(?:^|\/)[^/]+[._-](?:test|tests|spec)\.[\w]+$|(?:^|\/)tests?\.\w+$|(?:^|\/)test_[^/]+\.py$|(?:^|\/)[A-Z]\w*Tests?\.(?:java|kt|cs|scala)$|(?:^|\/)conftest\.py$/;

export const source = /\.(?:[cm]?[jt]sx?|py|go|rs|java|kt|cs|rb|php|scala|swift|ex|exs|vue|svelte)$/;

export const isTest = (path: string): boolean => testFile.test(path) && source.test(path);
