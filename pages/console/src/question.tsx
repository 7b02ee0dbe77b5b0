// Modal dialogs: the browser's own, which keeps the focus inside and closes on Escape.
import { createContext, useContext, useEffect, useId, useRef, type ReactNode } from "react";

import "./dialog.css";

interface DialogProps {
  title: ReactNode;
  className?: string;
  /** Whether Escape leaves it open, for what is shown only once. */
  stays?: boolean;
  onClose: () => void;
  children: ReactNode;
}

export function Dialog({ title, className, stays, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    if (!element?.open) element?.showModal(); // it moves the focus to the first control
    element?.querySelector<HTMLElement>("[data-focus]")?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={className}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (!stays) onClose();
      }}
      // Chromium closes a dialog on the second Escape without asking.
      onKeyDown={(event) => stays && event.key === "Escape" && event.preventDefault()}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

interface QuestionProps {
  title: ReactNode;
  yes: string;
  onYes: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function Question({ title, yes, onYes, onClose, children }: QuestionProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <div className="buttons">
        <button data-focus onClick={onClose}>
          Cancel
        </button>
        <button className="danger main" onClick={() => (onClose(), onYes())}>
          {yes}
        </button>
      </div>
    </Dialog>
  );
}

/** Takes whether a secret is shown now. */
export const SecretIsShown = createContext<(is: boolean) => void>(() => undefined);

/** A secret, which the service returns only once. */
export function Secret({ secret, onKept }: { secret: string; onKept: () => void }) {
  const copied = useRef<HTMLSpanElement>(null);
  const setIsShown = useContext(SecretIsShown);
  useEffect(() => {
    setIsShown(true);
    return () => setIsShown(false);
  }, [setIsShown]);
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
