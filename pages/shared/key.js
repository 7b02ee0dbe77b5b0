// The API key that this page sends. It is kept in sessionStorage, the storage of this browser tab alone, and so is all
// that GraphiQL keeps: documents and variables may hold secrets too.

const KEY = "gql_identity:key";
export const VIEWS = "gql_identity:views"; // the mark of what the console showed with the key
const WHOLE_KEY = /^gqlid_[0-9A-Za-z]{49}$/;

/** The key, "" if there is none, and the service's message if it refuses the key. Replaced whole, never changed. */
let state = { secret: sessionStorage.getItem(KEY) ?? "", refusal: "" };
const listeners = new Set();

export function keyState() {
  return state;
}

/** Call a function after each change; returns a function that ends it. */
export function onKeyChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function become(next) {
  state = next;
  for (const listener of listeners) listener();
}

/** Send this key from now on; "" forgets the present one. */
export function setKey(secret) {
  if (secret) sessionStorage.setItem(KEY, secret);
  else for (const name of [KEY, VIEWS]) sessionStorage.removeItem(name);
  become({ secret, refusal: "" });
}

// "Back" may show a page as it was left, and the key may have been forgotten or changed since then, in another page.
addEventListener("pageshow", (event) => {
  const secret = sessionStorage.getItem(KEY) ?? "";
  if (event.persisted && secret !== state.secret) become({ secret, refusal: "" });
});

/** Note how the service took a key: the message with which it refused it, or "". */
export function noteRefusal(secret, refusal) {
  if (secret && secret === state.secret && refusal !== state.refusal) become({ secret, refusal });
}

/** GraphiQL's storage, in the form that its `storage` property wants. Its "Clear data" forgets the key too. */
export const tabStorage = {
  getItem: (name) => sessionStorage.getItem(name),
  setItem: (name, value) => sessionStorage.setItem(name, value),
  removeItem: (name) => sessionStorage.removeItem(name),
  clear: () => {
    sessionStorage.clear();
    setKey("");
  },
  get length() {
    return sessionStorage.length;
  },
};

export function randomId() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-"); // `crypto.randomUUID` is absent over plain HTTP
}

/** Whether a credential is the secret of a key, and not a token. */
export function isKey(secret) {
  return WHOLE_KEY.test(secret);
}

/** The part of a secret that may be shown: its prefix and its last four characters. */
export function hint(secret) {
  return isKey(secret) ? `gqlid_...${secret.slice(-4)}` : "another kind of credential";
}

const CREDENTIAL = /^#(key|code)=/;

/** Whether the address is a link with a credential. */
export function isLink() {
  return CREDENTIAL.test(location.hash);
}

/** A message about the link that opened this page; "" if there is none. */
export let linkNotice = "";

/**
 * Take the secret of a link `/graphql#key=SECRET`, or of the service's own `/graphql#code=CODE`, out of the address and
 * its history, and use it. A code is exchanged for the key, once.
 *
 * Another key already in this browser tab stays unless the person agrees. Resolves to whether the key changed.
 */
export async function moveKeyOutOfAddress() {
  const [, kind, text] = /^#(key|code)=([\w-]+)$/.exec(location.hash) ?? [];
  if (isLink()) history.replaceState(history.state, "", location.pathname + location.search);
  if (!kind) return false;
  linkNotice = "";
  const secret = kind === "key" ? text : await exchanged(text);
  if (!secret || secret === state.secret) return false;

  const question = `This tab already holds ${hint(state.secret)}. Replace it with ${hint(secret)}, from the link?`;
  if (state.secret && !confirm(question)) return false;
  setKey(secret);
  return true;
}

/** Exchange a one-time code for the key; "" if the service refuses the code. */
async function exchanged(code) {
  try {
    const response = await fetch(new URL("sign-in", location.href), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ code }),
    });
    const answer = await response.json();
    if (response.ok) return answer.api_key;
    linkNotice = answer.error.message;
  } catch {
    linkNotice = "The service could not be reached with the code of this link. Start it again for a new link.";
  }
  return "";
}

/** The credential among the headers of a request, if any. */
export function authorizationOf(headers) {
  return headers[nameOfAuthorization(headers)];
}

export function nameOfAuthorization(headers) {
  return Object.keys(headers).find((name) => name.toLowerCase() === "authorization");
}
