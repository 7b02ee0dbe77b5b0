// The list follows changes: the subscription to them, and what is read again after each.
import { useApolloClient, useSubscription } from "@apollo/client/react";
import { useEffect, useRef, useState } from "react";

import { keyState } from "../../shared/key.js";
import { reason, type Session } from "./client.ts";
import { ChangedDocument, KeyDocument, KeysDocument, StatisticsDocument } from "./operations.generated.ts";

const TOGETHER_MS = 400; // changes that come at once are one new read
const LONGEST_MS = 2_000; // a read waits no longer, even while changes come steadily
const SETTLED_MS = 1000; // the service does not say when a subscription has begun
export const RETRY_MS = 5000; // after an error that may pass, or the end of the subscription
export const SHOWN = [KeysDocument, StatisticsDocument, KeyDocument]; // the last one if a key is open

/** Whether changes arrive by themselves. After each change, and after a lost connection, lists are read again. */
export function useLive(domainId: string, { socket, isConnected }: Session) {
  const client = useApolloClient();
  const [connected, setConnected] = useState(isConnected);
  const [isLost, setIsLost] = useState(false); // not before the first connection
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latest = useRef<number>(undefined); // when to read at the latest; undefined if there is nothing to read

  function readSoon() {
    latest.current ??= Date.now() + LONGEST_MS;
    readIn(Math.min(TOGETHER_MS, latest.current - Date.now()));
  }
  function readIn(delay: number) {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      latest.current = undefined;
      void client.refetchQueries({ include: SHOWN });
    }, delay);
  }
  useEffect(() => {
    const onOnline = () => readSoon();
    setConnected(isConnected());
    const ends = [
      socket.on("connected", () => (setConnected(true), setIsLost(false))),
      socket.on("closed", () => (setConnected(false), setIsLost(true))),
      () => removeEventListener("online", onOnline),
    ];
    addEventListener("online", onOnline);
    return () => {
      clearTimeout(timer.current);
      for (const end of ends) end();
    };
  }, [socket]);
  useEffect(() => {
    if (connected) readIn(SETTLED_MS); // what changed before the subscription began
  }, [connected]);
  // The cache updates a key by its `id`; which keys are listed is read again.
  const { error, restart } = useSubscription(ChangedDocument, {
    variables: { domainId },
    onData: ({ data: { data } }) => {
      const event = data?.apiKeyChanged;
      if (event?.type === "DELETED") client.cache.evict({ id: client.cache.identify(event.apiKeyInfo) });
      readSoon();
    },
  });
  useEffect(() => {
    if (!error) return;
    const retry = setTimeout(() => {
      if (keyState().refusal) return; // it would be refused again; the next key has a session of its own
      restart();
      readIn(SETTLED_MS);
    }, RETRY_MS);
    return () => clearTimeout(retry);
  }, [error, restart]);
  return { connected, isLost, error };
}

export function Live({ connected, isLost, error }: { connected: boolean; isLost: boolean; error?: unknown }) {
  const [text, look, more] = isLost
    ? ["Not connected, trying again…", "lost", "The service does not respond. The list may be out of date."]
    : error
      ? ["Not live", "lost", reason(error)]
      : connected
        ? ["Live", "on", "Changes are shown as they happen"]
        : ["Connecting…", "off", "Soon changes are shown as they happen"];
  return (
    <p role="status" className={`live ${look}`} title={more}>
      {text}
    </p>
  );
}
