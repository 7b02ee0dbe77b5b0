import { defineConfig } from "vite";

// The page asks its own origin, and vite passes `/graphql` on to the service, WebSockets too. A page on another origin
// than the service's needs the service's setting GQL_IDENTITY_CORS_ORIGINS instead.
const target = process.env.IDENTITY_URL ?? "http://127.0.0.1:8000";
const proxy = { "/graphql": { target, ws: true } };

export default defineConfig({ server: { proxy }, preview: { proxy } });
