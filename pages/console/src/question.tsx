// Modal dialogs: the browser's own, which keeps the focus inside and closes on Escape.
import { useEffect, useId, useRef, type ReactNode } from "react";

import "./dialog.css";

interface DialogProps {
  title: ReactNode;
  className?: string;
  /** Whether only its own buttons close it: for what is shown only once, and while a request is under way. */
  stays?: boolean;
  onClose: () => void;
  children: ReactNode;
}

export function Dialog({ title, className, stays, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const now = useRef({ stays, onClose });
  now.current = { stays, onClose };
  useEffect(() => {
    const element = dialog.current!;
    const before = document.activeElement;
    function open() {
      if (!element.open) element.showModal(); // it moves the focus to the first control
      element.querySelector<HTMLElement>("[data-focus]")?.focus();
    }
    // A browser may close it without asking: on the second Escape, or the second "back" gesture of Android.
    function onClosed() {
      if (now.current.stays) open();
      else now.current.onClose();
    }
    open();
    element.addEventListener("close", onClosed);
    return () => {
      element.removeEventListener("close", onClosed);
      element.close();
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
      onKeyDown={(event) => {
        // Not for a question within this one, which closes.
        const isOwn = (event.target as Element).closest("dialog") === event.currentTarget;
        if (stays && isOwn && event.key === "Escape") event.preventDefault();
      }}
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
