import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What draws the pages is imported by main.ts; named in the page as well, it does not wait for that to be read. */
const preloadShow: Plugin = {
  name: 'preload-show',
  transformIndexHtml: {
    order: 'post',
    handler(html, { bundle = {} }) {
      const chunks = Object.values(bundle).filter((each) => each.type === 'chunk');
      const chunk = chunks.find(({ moduleIds }) => moduleIds.includes(here('src/show.tsx')));
      if (!chunk) throw new Error('There is no chunk of src/show.tsx.');
      return [chunk.fileName, ...chunk.imports]
        .filter((name) => !html.includes(`/${name}"`))
        .map((name) => ({ tag: 'link', attrs: { rel: 'modulepreload', crossorigin: true, href: `/${name}` }, injectTo: 'head' }));
    },
  },
};

export default defineConfig({
  plugins: [preloadShow],
  base: '/',
  oxc: { jsx: { runtime: 'automatic' } },
  build: {
    target: ['chrome120', 'firefox121', 'safari17'],
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // Nothing is inlined: the content security policy would refuse it.
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: here('index.html'), sw: here('src/sw.ts') },
      output: {
        // The service worker's address may not change with its content.
        entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
        // With everything that each of them needs, that the first load may consist of these two and not of their crumbs.
        codeSplitting: {
          groups: [
            { name: 'index', test: /\/web\/src\/main\.ts$/, priority: 2 },
            { name: 'show', test: /\/web\/src\/show\.tsx$/, priority: 1 },
          ],
        },
      },
    },
  },
});
