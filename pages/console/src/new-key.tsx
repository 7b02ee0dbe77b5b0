// The dialog that makes a key.
import { useApolloClient } from "@apollo/client/react";
import { useContext, useState, type SubmitEvent } from "react";

import { useAttempts } from "./attempts.ts";
import { mayBeDone, reason } from "./client.ts";
import type { Viewer } from "./keys.tsx";
import { CreateDocument, type APIKeyRole, type CreateAPIKeyRequest } from "./operations.generated.ts";
import { Dialog, Question } from "./question.tsx";
import { ShowSecret } from "./secret.tsx";
import { DAY, ROLES } from "./text.ts";
import { readAddresses, readScopes, readTags } from "./texts-of-fields.ts";

/** The roles that a caller may give. */
const GIVES: Record<APIKeyRole, APIKeyRole[]> = {
  USER: ["USER"],
  VERIFIER: ["USER"],
  DOMAIN_OWNER: ["USER", "DOMAIN_OWNER"],
  SYSTEM: ["USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"],
};

export function NewKey({ domainId, viewer, onClose }: { domainId: string; viewer: Viewer; onClose: () => void }) {
  const client = useApolloClient();
  const [failure, setFailure] = useState("");
  const [isSending, setIsSending] = useState(false);
  const showSecret = useContext(ShowSecret);
  const attempts = useAttempts();
  const [openedAt] = useState(Date.now);
  const [sent, setSent] = useState<CreateAPIKeyRequest | null>(null); // the last input
  const [givingUp, setGivingUp] = useState<(() => void) | null>(null); // what to do after the question whether to
  const isLost = sent !== null && attempts.isUnanswered(sent);
  const ownUserAlone = viewer.role === "USER" || viewer.role === "VERIFIER";

  function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const days = Number(text("days"));
    const scopes = scopesOf(form);
    const input: CreateAPIKeyRequest = {
      domainId,
      userId: ownUserAlone ? viewer.userId : text("userId"),
      name: text("name") || null,
      role: text("role") as APIKeyRole,
      ...(days && { expiresAt: new Date(openedAt + days * DAY).toISOString() }),
      ...(scopes !== null && { scopes: readScopes(scopes) }),
      ...(text("tags") && { tags: readTags(text("tags")) }),
      ...(text("addresses") && { allowedAddresses: readAddresses(text("addresses")) }),
    };
    if (isLost && JSON.stringify(input) !== JSON.stringify(sent)) setGivingUp(() => () => void send(input));
    else void send(input);
  }

  async function send(input: CreateAPIKeyRequest) {
    setFailure("");
    setIsSending(true);
    setSent(input);
    const variables = { input: attempts.identified(input, viewer) };
    try {
      // "no-cache" keeps the secret out of the client's cache: only the dialog that shows it has it.
      const { data } = await client.mutate({ mutation: CreateDocument, variables, fetchPolicy: "no-cache" });
      attempts.end(input);
      if (data?.createApiKey?.apiKey) showSecret({ title: "The new key", secret: data.createApiKey.apiKey });
      onClose();
    } catch (error) {
      attempts.end(input, error);
      const isUnknown = mayBeDone(error) && !("requestId" in variables.input);
      setFailure(reason(error) + (isUnknown ? " Look into the list: it may have been made. Then delete it, and make another one." : ""));
    } finally {
      setIsSending(false);
    }
  }

  return (
    <Dialog title="New key" stays={isSending || isLost} onClose={onClose}>
      <form className="fields" onSubmit={submit}>
        <label>
          Name
          <input name="name" maxLength={255} placeholder="ci" />
        </label>
        <label>
          User
          <input name="userId" maxLength={255} required defaultValue={viewer.userId} readOnly={ownUserAlone} />
        </label>
        <div className="pair">
          <label>
            Role
            <select name="role" defaultValue="USER">
              {GIVES[viewer.role].map((role) => (
                <option key={role} value={role}>
                  {ROLES[role]}
                </option>
              ))}
            </select>
          </label>
          <label>
            Ends
            <select name="days" defaultValue="90">
              <option value="7">in 7 days</option>
              <option value="30">in 30 days</option>
              <option value="90">in 90 days</option>
              <option value="365">in a year</option>
              <option value="0">as the service decides</option>
            </select>
          </label>
        </div>
        <details>
          <summary>Scopes, tags and addresses</summary>
          <FieldTexts />
        </details>
        {failure && (
          <p role="alert">
            {failure} {isLost && "Create it again within ten minutes with the same fields: if the key was made already, you get that one."}
          </p>
        )}
        <div className="buttons">
          <button type="button" disabled={isSending} onClick={() => (isLost ? setGivingUp(() => onClose) : onClose())}>
            Cancel
          </button>
          <button className="main" disabled={isSending}>
            Create
          </button>
        </div>
      </form>
      {givingUp && (
        <Question title="Give up the key that may have been made?" yes="Give it up" onYes={givingUp} onClose={() => setGivingUp(null)}>
          <p>
            If the key was made, only the same fields, sent again within ten minutes, return its secret. Without it, look for the
            key in the list and delete it.
          </p>
        </Question>
      )}
    </Dialog>
  );
}

interface FieldTextsProps {
  scopes?: string | null;
  tags?: string;
  addresses?: string;
}

/** The fields that are lists, each as a text. */
export function FieldTexts({ scopes = null, tags, addresses }: FieldTextsProps) {
  return (
    <>
      <Scopes before={scopes} />
      <label>
        Tags, one per line
        <textarea name="tags" rows={2} defaultValue={tags} placeholder="team=payments" />
      </label>
      <label>
        Addresses that may use it, separated by spaces (empty: any)
        <input name="addresses" defaultValue={addresses} placeholder="10.0.0.0/8" />
      </label>
    </>
  );
}

/** No list of scopes is all that the role may do; the empty list is nothing. */
function Scopes({ before }: { before: string | null }) {
  const [isLimited, setIsLimited] = useState(before !== null);
  const [text, setText] = useState(before ?? "");
  return (
    <>
      <label>
        May do
        <select
          name="limit"
          value={isLimited ? "scopes" : ""}
          onChange={(event) => {
            setIsLimited(Boolean(event.target.value));
            if (!event.target.value) setText("");
          }}
        >
          <option value="">all that the role may do</option>
          <option value="scopes">only what these scopes allow</option>
        </select>
      </label>
      <label>
        Scopes, separated by spaces
        <input
          name="scopes"
          value={text}
          placeholder="identity:read orders:read"
          onChange={(event) => {
            setText(event.target.value);
            if (event.target.value) setIsLimited(true);
          }}
        />
        {isLimited && !text.trim() && <span className="soft">None: the key may do nothing.</span>}
      </label>
    </>
  );
}

/** The scopes of a form as one text; null for all that the role may do. */
export function scopesOf(form: FormData): string | null {
  return form.get("limit") ? readScopes(String(form.get("scopes"))).join(" ") : null;
}
