// Remove a secret from the address before anything else runs: GraphiQL is loaded only afterwards.
import { linkNotice, moveKeyOutOfAddress } from "../../shared/key.js";

moveKeyOutOfAddress().then(() => import("./page.jsx"));

// Opening the same link again in this tab changes only the fragment and does not load the page.
addEventListener("hashchange", async () => {
  if (await moveKeyOutOfAddress()) location.reload();
  else if (linkNotice) alert(linkNotice);
});
