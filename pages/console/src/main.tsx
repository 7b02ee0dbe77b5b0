// Remove a secret from the address before anything else runs: the console is loaded only afterwards.
import { moveKeyOutOfAddress } from "../../shared/key.js";

moveKeyOutOfAddress().then(() => import("./app.tsx"));

// Opening the same link again in this tab changes only the fragment and does not load the page.
addEventListener("hashchange", () => void moveKeyOutOfAddress());
