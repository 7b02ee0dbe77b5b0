"""Keys of Cloudforet's database become keys here.

A key that is here already stays as it is, and one that was deleted here stays deleted. So an import is simply run again
if it was interrupted, or to bring what was made meanwhile.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from ..errors import InvalidArgument
from ..messages.values import APIKeyRole, APIKeyState
from ..storage.database import Database, Document
from ..storage.inserts import insert_new
from ..storage.pages import deleted_key_ids
from .audit_entries import AuditEntries
from .checks import check_free_text
from .records import now

DISABLED_RANK = APIKeyRole.DOMAIN_OWNER.rank  # nobody below may enable a key that was disabled there
MAX_ID = 255  # characters of what names a refused document

Roles = Mapping[tuple[str, str], APIKeyRole]  # by domain and user; USER for all others


class Refusal(NamedTuple):
    """A document that cannot become a key."""

    id: str  # the key's; where it has none, the document's
    field: str
    why: str


@dataclass
class Counts:
    """What became of the documents that were read."""

    read: int = 0
    imported: int = 0
    already_here: int = 0
    refused: int = 0
    open_nothing: int = 0  # of those imported or already here: no secret of theirs is known, and no JWT accepted


@dataclass
class Import:
    """An import into a database; with `is_dry` it only counts."""

    database: Database
    entries: AuditEntries
    roles: Roles
    accepting: Collection[str] = ()  # the domains whose JWTs are accepted
    is_dry: bool = False
    counts: Counts = field(default_factory=Counts)
    _tried: dict[str, Document] = field(default_factory=dict)  # what would be here, with `is_dry`

    async def take(self, documents: list[Document]) -> list[Refusal]:
        """Import those of these documents that are not here, and return what was refused.

        Raises what `Database.run` does; the documents before are imported then, and some of these may be.
        """
        self.counts.read += len(documents)
        refusals: list[Refusal] = []
        wanted: dict[str, Document] = {}
        for document in documents:
            try:
                key = key_of(document, self.roles)
                if wanted.setdefault(key["_id"], key) is not key:
                    raise InvalidArgument(_TAKEN.format(wanted[key["_id"]]["domain_id"]), at="api_key_id")
            except InvalidArgument as error:
                refusals.append(refusal_of(document.get("api_key_id") or document.get("_id"), error))
        here = await self._here(list(wanted))
        here |= {key_id: self._tried[key_id] for key_id in wanted if key_id in self._tried}
        gone = await deleted_key_ids(self.database, list(wanted.values()))
        refusals += [Refusal(key_id, "api_key_id", _DELETED) for key_id in wanted if key_id in gone]
        wanted = {key_id: key for key_id, key in wanted.items() if key_id not in gone}
        new = [key for key_id, key in wanted.items() if key_id not in here]
        if self.is_dry:
            self._tried |= {key["_id"]: {"domain_id": key["domain_id"]} for key in new}
        elif new:
            at = now()
            late = await insert_new(self.database, [self.entries.new_key(key, None, at) for key in new])
            here |= await self._here(late)
        for key_id, key in wanted.items():
            stored = here.get(key_id)
            if stored is None:
                self.counts.imported += 1
            elif stored["domain_id"] == key["domain_id"]:
                self.counts.already_here += 1
            else:
                refusals.append(Refusal(key_id, "api_key_id", _TAKEN.format(stored["domain_id"])))
                continue
            is_secretless = stored is None or stored.get("digest") is None
            self.counts.open_nothing += is_secretless and key["domain_id"] not in self.accepting
        self.counts.refused += len(refusals)
        return refusals

    async def _here(self, key_ids: list[str]) -> dict[str, Document]:
        if not key_ids:
            return {}
        found = await self.database.find(
            {"_id": {"$in": key_ids}}, len(key_ids), frozenset({"_id", "domain_id", "digest"})
        )
        return {document["_id"]: document for document in found}


_DELETED = "the key was deleted here, and stays deleted."
_TAKEN = "a key of the domain {} has this id, and an id exists only once. Rename it there or here."


def key_of(document: Document, roles: Roles) -> Document:
    """The key that a document of Cloudforet becomes; no secret of it is known.

    Raises InvalidArgument, naming the field, for what a create would refuse.
    """
    key_id, domain_id, user_id = (_text(document, name) for name in ("api_key_id", "domain_id", "user_id"))
    state = document.get("state")
    if not isinstance(state, str) or state not in APIKeyState.__members__:
        raise InvalidArgument(f"it is {_shown(state)}, and may be {' or '.join(APIKeyState.__members__)}.", at="state")
    is_disabled = state == APIKeyState.DISABLED.name
    return {
        "_id": key_id,
        "domain_id": domain_id,
        "user_id": user_id,
        "state": state,
        "role": roles.get((domain_id, user_id), APIKeyRole.USER).name,
        "name": None,
        "digest": None,
        "hint": "",
        "created_at": _instant(document, "created_at", required=True),
        "created_by": None,
        "makers": [],
        "last_accessed_at": _instant(document, "last_accessed_at"),
        **({"disabled_rank": DISABLED_RANK} if is_disabled else {}),
    }


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if type(value) is not str:  # the driver has classes of text that are none, as for code
        raise InvalidArgument(f"it is {_shown(value)}, and must be a text.", at=name)
    check_free_text(name, value)
    return value


def _instant(document: Document, name: str, *, required: bool = False) -> datetime | None:
    value = document.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, datetime):
        raise InvalidArgument(f"it is {_shown(value)}, and must be an instant in the years 1 to 9999.", at=name)
    return value


def _shown(value: Any) -> str:
    return "missing" if value is None else ascii(value)[:100]


def refusal_of(named: Any, error: InvalidArgument) -> Refusal:
    """The refusal that an error means."""
    return Refusal(str(named)[:MAX_ID], error.at, error.message.removeprefix(f"{error.at}: "))
