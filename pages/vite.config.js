import { defineConfig } from "vite";

const FONT = /url\(["']?data:font\/(\w+);base64,([^"')]+)["']?\)/g;

const UNUSED =
  /^import '.*\/(diffEditor|codelens|colorPicker|inlineEdits?|inlineCompletions|inlayHints|inPlaceReplace|linkedEditing|rename|sectionHeaders|semanticTokens|diffEditorBreadcrumbs|suggestInlineCompletions)\b.*$/gm;

export default defineConfig({
  // Every address is relative, so that the pages work behind any path prefix. GraphiQL is served at `/graphql`,
  // the console at `/console`, and the files below `/pages/`: of all addresses, only those in the HTML need telling so.
  base: "./",
  plugins: [
    {
      name: "files-below-pages",
      transformIndexHtml: { order: "post", handler: (html) => html.replaceAll('"../assets/', '"./pages/assets/') },
    },
    {
      // Monaco's styles are part of GraphiQL's, and of its features these have no use for GraphQL and JSON: no language
      // here has colours, code lenses, inlay hints, rename or linked editing, and nothing compares two texts.
      name: "less-of-monaco",
      enforce: "pre",
      load: (id) => (/monaco-editor\/esm\/.*\.css$/.test(id) ? "" : undefined),
      transform: (code, id) => (id.endsWith("/vs/editor/editor.all.js") ? code.replace(UNUSED, "") : undefined),
    },
    {
      // GraphiQL's styles hold all its fonts as text, in all alphabets, twice for the icons. As files beside the styles,
      // browsers load only those that a page shows.
      name: "fonts-as-files",
      generateBundle(_, bundle) {
        for (const file of Object.values(bundle)) {
          if (file.type !== "asset" || !file.fileName.endsWith(".css")) continue;
          file.source = String(file.source).replace(FONT, (_, type, content) => {
            const name = this.emitFile({ type: "asset", name: `font.${type}`, source: Buffer.from(content, "base64") });
            return `url(./${this.getFileName(name).replace("assets/", "")})`;
          });
        }
      },
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
