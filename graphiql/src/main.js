// A secret in the address leaves it before anything else runs: GraphiQL is loaded only afterwards.
import { moveKeyOutOfAddress } from "./key.js";

moveKeyOutOfAddress();

// The same link opened again in this tab changes the fragment alone and loads nothing.
addEventListener("hashchange", () => {
  if (moveKeyOutOfAddress()) location.reload();
});

import("./page.jsx");
