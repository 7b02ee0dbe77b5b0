// The API key in GraphiQL's headers. All that GraphiQL keeps goes into sessionStorage, the storage of this browser
// tab alone: headers hold secrets, and so may documents and variables.

const HEADERS = "gql_identity:headers";

const CREDENTIAL = /("authorization"\s*:\s*"bearer)\s*([^"]*)/i;
const WHOLE_KEY = /^gqlid_[0-9A-Za-z]{49}$/;

/** GraphiQL's storage, in the form that its `storage` property wants. */
export const tabStorage = {
  getItem: (name) => sessionStorage.getItem(name),
  setItem: (name, value) => sessionStorage.setItem(name, value),
  removeItem: (name) => sessionStorage.removeItem(name),
  clear: () => sessionStorage.clear(),
  get length() {
    return sessionStorage.length;
  },
};

/** The headers that this browser tab used last, as the text of GraphiQL's editor. */
export function keptHeaders() {
  return sessionStorage.getItem(HEADERS) ?? withKey("", "");
}

export function keepHeaders(headers) {
  sessionStorage.setItem(HEADERS, headers);
}

/** The same as an object; empty where the text is no JSON. */
export function keptHeadersParsed() {
  return parsed(keptHeaders());
}

/** The secret in a headers text; "" where there is none. */
export function keyIn(headers) {
  return CREDENTIAL.exec(headers)?.[2].trim() ?? "";
}

/** Whether a text is all of a secret, rather than one that is still being typed. */
export function isWholeKey(secret) {
  return WHOLE_KEY.test(secret);
}

/** What may be shown of a secret: its prefix and its last four characters. */
export function hint(secret) {
  return isWholeKey(secret) ? `gqlid_...${secret.slice(-4)}` : "another kind of credential";
}

/**
 * Take the secret of a link `/graphql#key=SECRET` out of the address and its history, and put it into the headers.
 *
 * Another key already in this browser tab stays unless the person agrees. Returns whether the headers changed.
 */
export function moveKeyOutOfAddress() {
  if (!location.hash.startsWith("#key=")) return false;
  const secret = location.hash.slice("#key=".length);
  history.replaceState(history.state, "", location.pathname + location.search);
  if (!/^[\w-]+$/.test(secret)) return false; // no key looks so, and it could break out of the headers' JSON

  const headers = keptHeaders();
  const present = keyIn(headers);
  const question = `This tab already holds ${hint(present)}. Replace it with ${hint(secret)}, from the link?`;
  if (present === secret || (present && !confirm(question))) return false;
  keepHeaders(withKey(headers, secret));
  return true;
}

function withKey(headers, secret) {
  if (CREDENTIAL.test(headers)) return headers.replace(CREDENTIAL, (_, before) => `${before} ${secret}`);
  return JSON.stringify({ ...parsed(headers), Authorization: `Bearer ${secret}` }, null, 2);
}

function parsed(headers) {
  try {
    return JSON.parse(headers);
  } catch {
    return {}; // nothing there yet, or nothing that GraphiQL could send either
  }
}
