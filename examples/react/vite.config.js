import { defineConfig } from "vite";

// The page asks its own origin, and vite passes `/graphql` on to the service, WebSockets too. With
// VITE_IDENTITY_ENDPOINT it asks a service of another origin, whose GQL_IDENTITY_CORS_ORIGINS names the page's origin.
const target = process.env.IDENTITY_URL ?? "http://127.0.0.1:8000";
const proxy = { "/graphql": { target, ws: true } };

export default defineConfig({ server: { proxy }, preview: { proxy } });
