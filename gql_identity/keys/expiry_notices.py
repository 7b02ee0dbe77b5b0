"""Notices of keys that end soon: an audit entry and an event, 30, 7 and 1 days before a key's end."""

import random

import structlog

from ..background import repeat
from ..storage.conditional_writes import set_if_unchanged
from ..storage.database import Database, Document
from ..storage.failures import may_pass
from .audit_entries import AuditEntries, counted, log_entry
from .documents import CHANGEABLE, REQUIRED, readable, unreadable
from .expiry import next_notice
from .records import now

EVERY_SECONDS = 60.0  # between two looks for notices that are due
MAX_KEYS = 500  # of one look: about a second of writes

log = structlog.get_logger()


class ExpiryNotices:
    """Notices of the keys of all domains. Every worker looks for those that are due; each is given once."""

    def __init__(self, database: Database, entries: AuditEntries) -> None:
        self._database = database
        self._entries = entries

    async def give(self) -> int:
        """Give notices that are due, at most MAX_KEYS, and return how many.

        Where several notices of a key are due, because no service ran, it gets one. One that cannot be given, as of a
        key that something else changed, is told in the log. Raises a ServiceError of the database.
        """
        due = {"notice_at": {"$lte": now()}}
        documents = await self._database.to_list(lambda keys: keys.find(due, limit=MAX_KEYS))
        random.shuffle(documents)  # so that workers which look at the same moment seldom write the same key
        given = 0
        for document in documents:
            try:
                given += await self._give(document)
            except Exception as error:
                if may_pass(error):
                    raise  # the next look begins with other keys, at random
                # Not its text, which may have values of the document.
                told = "the notice of a key that ends soon cannot be given"
                log.error(told, api_key_id=document["_id"], error=type(error).__name__)
        return given

    async def _give(self, document: Document) -> bool:
        at = now()
        if unreadable(document, (*CHANGEABLE, "notice_at")) or (end := document.get("expires_at")) is None or end <= at:
            # It cannot be changed, or nothing is left to tell. It must not be found again each time.
            place = {"domain_id": document.get("domain_id"), "_id": document["_id"]}
            await self._database.run(
                lambda: self._database.api_keys.update_one(
                    place | {"notice_at": document["notice_at"]}, {"$unset": {"notice_at": ""}}
                )
            )
            return False
        entry = self._entries.expiring(readable(document, REQUIRED), at)
        changes = {"noticed_at": at, "notice_at": next_notice(end, at), **counted(entry)}
        # Every change of the key counts up, and so does a notice by another worker.
        if not await set_if_unchanged(self._database, document, ("audit_number",), changes, entry):
            return False
        log_entry(entry)
        return True

    async def keep_giving(self) -> None:
        """Look for notices that are due each minute until cancelled."""
        failure = "notices of keys that end soon were not given; the next attempt is in a minute"
        await repeat(self.give, EVERY_SECONDS, failure)
