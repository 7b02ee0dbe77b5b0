// How both pages start: the secret of a link leaves the address before anything else runs.
import { isLink, linkNotice, moveKeyOutOfAddress } from "./key.js";

/** Load the page with `load`. Following a link with another key in the open page calls `onOtherKey`. */
export async function start(load, onOtherKey) {
  // A link that is followed in the open page changes only the fragment and does not load the page.
  addEventListener("hashchange", async () => {
    if (!isLink()) return;
    if (await moveKeyOutOfAddress()) onOtherKey();
    else if (linkNotice) alert(linkNotice);
  });
  await moveKeyOutOfAddress();
  try {
    await load();
  } catch {
    const again = Object.assign(document.createElement("button"), { textContent: "Load it again" });
    again.addEventListener("click", () => location.reload());
    const text = Object.assign(document.createElement("p"), { role: "alert", textContent: "The page could not be loaded. " });
    text.append(again);
    document.getElementById("page").replaceChildren(text);
  }
}
