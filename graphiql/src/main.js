// A secret in the address leaves it before anything else runs: GraphiQL is loaded only afterwards.
import { linkNotice, moveKeyOutOfAddress } from "./key.js";

moveKeyOutOfAddress().then(() => import("./page.jsx"));

// The same link opened again in this tab changes the fragment alone and loads nothing.
addEventListener("hashchange", async () => {
  if (await moveKeyOutOfAddress()) location.reload();
  else if (linkNotice) alert(linkNotice);
});
