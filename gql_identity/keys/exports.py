"""All keys and the audit log are written to a file, also while services change keys."""

import json
from typing import BinaryIO, NamedTuple

from ..errors import Unavailable
from ..settings import Settings
from ..storage.database import Database
from ..storage.following import following
from ..storage.pages import keys_by_ids, pages
from .audit_entries import AuditEntries
from .documents import tell_unreadable
from .export_file import BATCH, Header, document_line, end_line, header_line, is_readable_entry, unusable
from .records import now


class Exported(NamedTuple):
    """How many keys and entries an export wrote, and how many it left out because they cannot be read."""

    keys: int
    entries: int
    left_out: int


async def export_keys(database: Database, settings: Settings, spool: BinaryIO, out: BinaryIO) -> Exported:
    """Write all keys and the audit log. `spool` is an empty file, for what is read while keys change.

    Every change that was acknowledged before all keys were read is in the file; a later one may be. A key that cannot
    be read, which is accepted nowhere, is left out, and the log names it. Raises Unavailable.
    """
    peppers = await database.meta_document.peppers()
    left_out = keys = 0
    async with following(database) as changes:
        async for documents in pages(database, {}):
            for document in documents:
                if names := unusable(document):
                    tell_unreadable(document, names)
                    left_out += 1
                    continue
                # The id has a line of its own, so that the key of a changed one is skipped without reading it.
                spool.write(f"{json.dumps(document['_id'])}\n".encode() + document_line("key", document))
        await changes.catch_up()
        changed = sorted(changes.ids)
    out.write(header_line(Header(peppers, now())))
    spool.seek(0)
    skipped = frozenset(changed)
    while id_line := spool.readline():
        line = spool.readline()
        if json.loads(id_line) not in skipped:
            out.write(line)
            keys += 1
    for start in range(0, len(changed), BATCH):
        # Keys that were deleted meanwhile are not found.
        for document in await keys_by_ids(database, changed[start : start + BATCH]):
            if not unusable(document):
                out.write(document_line("key", document))
                keys += 1
    # Behind the keys, so that each has the entries of its changes; an import leaves out those of later changes.
    entries, audit = 0, AuditEntries(settings)
    async for documents in pages(database, {}, "audit"):
        for document in documents:
            if is_readable_entry(document, audit):
                out.write(document_line("entry", document))
                entries += 1
            else:
                left_out += 1
    out.write(end_line(keys, entries))
    if await database.meta_document.peppers() != peppers:
        raise Unavailable("Another pepper came into use during the export. Start it again.")
    return Exported(keys, entries, left_out)
