import { defineConfig } from "vite";

export default defineConfig({
  // Every address is relative, so that the page works behind any path prefix. The page is served at `/graphql`
  // and its files below `/graphiql/`: of all addresses, only those in the HTML need telling so.
  base: "./",
  plugins: [
    {
      name: "files-below-graphiql",
      transformIndexHtml: { order: "post", handler: (html) => html.replaceAll('"./assets/', '"./graphiql/assets/') },
    },
  ],
  build: {
    outDir: "../gql_identity/graphiql",
    emptyOutDir: true,
    // The policy allows neither scripts nor workers from `data:` addresses.
    assetsInlineLimit: 0,
    // What the licences of the bundled packages ask for, carried beside them.
    license: { fileName: "licenses.md" },
    // Monaco, the editor, is large; it is loaded once and then cached.
    chunkSizeWarningLimit: 5000,
  },
  worker: { format: "es" },
});
