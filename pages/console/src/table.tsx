// The list of keys. On narrow screens each row is a card, so the roles of a table are written out.
import type { KeyRowFragment } from "./operations.generated.ts";
import { ago, date, ROLES, stateOf, title } from "./text.ts";

interface Props {
  keys: readonly KeyRowFragment[];
  selected: ReadonlyMap<string, KeyRowFragment>;
  /** Whether a key is being changed, or was a moment ago: a double click would change it back. */
  isBusy: (key: KeyRowFragment) => boolean;
  onSelect: (selected: ReadonlyMap<string, KeyRowFragment>) => void;
  onOpen: (key: KeyRowFragment) => void;
  onAction: (action: "enable" | "disable" | "delete", key: KeyRowFragment) => void;
}

const COLUMNS = ["Name", "User", "State", "Created", "Last used", "Ends"];

export function Table({ keys, selected, isBusy, onSelect, onOpen, onAction }: Props) {
  const isAll = keys.length > 0 && keys.every(({ id }) => selected.has(id));
  function toggle(key: KeyRowFragment) {
    const next = new Map(selected);
    if (!next.delete(key.id)) next.set(key.id, key);
    onSelect(next);
  }
  return (
    <table role="table">
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" className="tick">
            <label>
              <input
                type="checkbox"
                aria-label="Select all keys of this page"
                checked={isAll}
                onChange={() => onSelect(isAll ? new Map() : new Map(keys.map((key) => [key.id, key])))}
              />
              <span className="narrow">All of this page</span>
            </label>
          </th>
          {COLUMNS.map((column) => (
            <th role="columnheader" key={column} className={column.toLowerCase().replace(" ", "-")}>
              {column}
            </th>
          ))}
          <th role="columnheader" className="actions">
            <span className="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {keys.map((key) => (
          <tr role="row" key={key.id} aria-selected={selected.has(key.id)}>
            <td role="cell" className="tick">
              <input type="checkbox" aria-label={`Select ${title(key)}`} checked={selected.has(key.id)} onChange={() => toggle(key)} />
            </td>
            <th role="rowheader" scope="row" className="name">
              <button className="link" title={title(key)} onClick={() => onOpen(key)}>
                <bdi>{title(key)}</bdi>
              </button>
              {key.name && <code>{key.hint}</code>}
            </th>
            <td role="cell" data-label="User" title={key.userId}>
              <bdi>{key.userId}</bdi> <span className="role" data-label="Role">{ROLES[key.role]}</span>
            </td>
            <td role="cell" data-label="State">
              <span className={`state ${stateOf(key).toLowerCase()}`}>{stateOf(key)}</span>
            </td>
            <td role="cell" data-label="Created">
              <Instant at={key.createdAt} />
            </td>
            <td role="cell" data-label="Last used">
              {key.lastAccessedAt ? <Instant at={key.lastAccessedAt} /> : <span className="soft">never</span>}
            </td>
            <td role="cell" data-label="Ends">
              {key.expiresAt ? <Instant at={key.expiresAt} /> : <span className="soft">never</span>}
            </td>
            <td role="cell" className="actions">
              {key.state === "ENABLED" ? (
                <button aria-disabled={isBusy(key)} aria-label={`Disable ${title(key)}`} onClick={() => onAction("disable", key)}>
                  Disable
                </button>
              ) : (
                <button aria-disabled={isBusy(key)} aria-label={`Enable ${title(key)}`} onClick={() => onAction("enable", key)}>
                  Enable
                </button>
              )}
              <button className="danger" aria-disabled={isBusy(key)} aria-label={`Delete ${title(key)}`} onClick={() => onAction("delete", key)}>
                Delete
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Instant({ at }: { at: string }) {
  return (
    <time dateTime={at} title={date(at)}>
      {ago(at)}
    </time>
  );
}
