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

/** The last headers of this browser tab, as the text of GraphiQL's editor. */
export function keptHeaders() {
  return sessionStorage.getItem(HEADERS) ?? withKey("", "");
}

export function keepHeaders(headers) {
  sessionStorage.setItem(HEADERS, headers);
}

/** The same as an object; empty if the text is not JSON. */
export function keptHeadersParsed() {
  return parsed(keptHeaders());
}

/** The secret in a headers text; "" if there is none. */
export function keyIn(headers) {
  return CREDENTIAL.exec(headers)?.[2].trim() ?? "";
}

/** Whether a text is a complete secret, not one that is still being typed. */
export function isWholeKey(secret) {
  return WHOLE_KEY.test(secret);
}

/** The part of a secret that may be shown: its prefix and its last four characters. */
export function hint(secret) {
  return isWholeKey(secret) ? `gqlid_...${secret.slice(-4)}` : "another kind of credential";
}

/** A message about the link that opened this page; "" if there is none. */
export let linkNotice = "";

/**
 * Take the secret of a link `/graphql#key=SECRET`, or of the service's own `/graphql#code=CODE`, out of the address and
 * its history, and put the key into the headers. A code is exchanged for the key, once.
 *
 * Another key already in this browser tab stays unless the person agrees. Resolves to whether the headers changed.
 */
export async function moveKeyOutOfAddress() {
  const [, kind, text] = /^#(key|code)=([\w-]+)$/.exec(location.hash) ?? []; // anything else could break the JSON
  if (/^#(key|code)=/.test(location.hash)) history.replaceState(history.state, "", location.pathname + location.search);
  if (!kind) return false;
  const secret = kind === "key" ? text : await exchanged(text);
  if (!secret) return false;

  const headers = keptHeaders();
  const present = keyIn(headers);
  const question = `This tab already holds ${hint(present)}. Replace it with ${hint(secret)}, from the link?`;
  if (present === secret || (present && !confirm(question))) return false;
  keepHeaders(withKey(headers, secret));
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

function withKey(headers, secret) {
  if (CREDENTIAL.test(headers)) return headers.replace(CREDENTIAL, (_, before) => `${before} ${secret}`);
  return JSON.stringify({ ...parsed(headers), Authorization: `Bearer ${secret}` }, null, 2);
}

function parsed(headers) {
  try {
    return JSON.parse(headers);
  } catch {
    return {}; // still empty, or not JSON, which GraphiQL could not send either
  }
}
