import { defineConfig } from "vite";

export default defineConfig({
  // Every address is relative, so that the pages work behind any path prefix. GraphiQL is served at `/graphql`,
  // the console at `/console`, and the files below `/pages/`: of all addresses, only those in the HTML need telling so.
  base: "./",
  plugins: [
    {
      name: "files-below-pages",
      transformIndexHtml: { order: "post", handler: (html) => html.replaceAll('"../assets/', '"./pages/assets/') },
    },
  ],
  build: {
    outDir: "../gql_identity/pages",
    rollupOptions: { input: ["graphiql/index.html", "console/index.html"] },
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
