// The dialog that makes a key and shows its secret once.
import { useApolloClient } from "@apollo/client/react";
import { useRef, useState, type SubmitEvent } from "react";

import { reason } from "./client.ts";
import type { Viewer } from "./keys.tsx";
import { CreateDocument, type APIKeyRole, type CreateAPIKeyRequest } from "./operations.generated.ts";
import { Dialog, Secret } from "./question.tsx";
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
  const [secret, setSecret] = useState("");
  // An attempt with the same input has the same id, so that a lost response does not make a second key.
  const attempt = useRef({ text: "", requestId: "" });
  const [openedAt] = useState(Date.now);
  const ownUserAlone = viewer.role === "USER" || viewer.role === "VERIFIER";

  async function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    setFailure("");
    setIsSending(true);
    try {
      const days = Number(text("days"));
      const input: CreateAPIKeyRequest = {
        domainId,
        userId: ownUserAlone ? viewer.userId : text("userId"),
        name: text("name") || null,
        role: text("role") as APIKeyRole,
        ...(days && { expiresAt: new Date(openedAt + days * DAY).toISOString() }),
        ...(text("scopes") && { scopes: readScopes(text("scopes")) }),
        ...(text("tags") && { tags: readTags(text("tags")) }),
        ...(text("addresses") && { allowedAddresses: readAddresses(text("addresses")) }),
      };
      const sent = JSON.stringify(input);
      if (sent !== attempt.current.text) attempt.current = { text: sent, requestId: randomId() };
      input.requestId = attempt.current.requestId;
      // "no-cache" keeps the secret out of the client's cache: only this dialog has it.
      const { data } = await client.mutate({ mutation: CreateDocument, variables: { input }, fetchPolicy: "no-cache" });
      setSecret(data?.createApiKey?.apiKey ?? "");
    } catch (error) {
      setFailure(reason(error));
    } finally {
      setIsSending(false);
    }
  }

  if (secret)
    return (
      <Dialog key="secret" title="The new key" stays onClose={onClose}>
        <Secret secret={secret} onKept={onClose} />
      </Dialog>
    );
  return (
    <Dialog title="New key" onClose={onClose}>
      <form className="fields" onSubmit={(event) => void submit(event)}>
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
        {failure && <p role="alert">{failure}</p>}
        <div className="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button className="main" disabled={isSending}>
            Create
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function randomId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

interface FieldTextsProps {
  scopes?: string;
  tags?: string;
  addresses?: string;
}

/** The fields that are lists, each as a text. */
export function FieldTexts({ scopes, tags, addresses }: FieldTextsProps) {
  return (
    <>
      <label>
        Scopes, separated by spaces (empty: all that the role may do)
        <input name="scopes" defaultValue={scopes} placeholder="identity:read orders:read" />
      </label>
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
