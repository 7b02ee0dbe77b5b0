// New secrets, which the service returns only once. They are held above everything else that the page shows, so that
// neither "back" nor the end of a session takes one away.
import { createContext, useEffect, useRef, useState, type ReactNode } from "react";

import { Dialog } from "./question.tsx";

interface NewSecret {
  title: ReactNode;
  secret: string;
}

/** Show a new secret until the person has kept it. */
export const ShowSecret = createContext<(one: NewSecret) => void>(() => undefined);

/** Holds the new secrets of its content, which is told whether one is shown. */
export function HeldSecrets({ children }: { children: (isShown: boolean) => ReactNode }) {
  const [held, setHeld] = useState<NewSecret[]>([]);
  const [first] = held;
  const isShown = first !== undefined;
  useEffect(() => {
    if (!isShown) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [isShown]);
  return (
    <ShowSecret value={add}>
      {children(isShown)}
      {first && (
        <Dialog key={first.secret} title={first.title} stays onClose={() => undefined}>
          <Secret secret={first.secret} onKept={() => setHeld(([_, ...others]) => others)} />
        </Dialog>
      )}
    </ShowSecret>
  );

  function add(one: NewSecret) {
    setHeld((before) => [...before, one]);
  }
}

function Secret({ secret, onKept }: { secret: string; onKept: () => void }) {
  const copied = useRef<HTMLSpanElement>(null);
  async function copy() {
    let done = "Copied.";
    try {
      await navigator.clipboard.writeText(secret); // absent where the page came over plain HTTP from another machine
    } catch {
      done = "Could not copy: select the text instead.";
    }
    if (copied.current) copied.current.textContent = done;
  }
  return (
    <div className="secret">
      <p>The secret is shown only now. Store it where the program that uses it finds it.</p>
      <code>{secret}</code>
      <div className="buttons">
        <span role="status" ref={copied} />
        <button onClick={() => void copy()}>Copy</button>
        <button className="main" onClick={onKept}>
          I have kept it
        </button>
      </div>
    </div>
  );
}
