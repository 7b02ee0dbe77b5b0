"""All documents that match, in pages: for commands, which have no bound on how many keys they read."""

from collections.abc import AsyncIterator

from .database import Database, Document

PAGE_KEYS = 2_000  # held in memory at once; on the embedded engine a page costs with all keys that match


async def pages(database: Database, where: Document) -> AsyncIterator[list[Document]]:
    """The keys that match, in the order of their ids, also those that are made meanwhile with later ids.

    Each key is read once. Raises what `Database.run` does.
    """
    beyond: Document = {}
    while True:
        page = {**where, **beyond}
        documents = await database.to_list(lambda keys: keys.find(page).sort("_id").limit(PAGE_KEYS))  # noqa: B023
        if documents:
            yield documents
        if len(documents) < PAGE_KEYS:
            return
        beyond = {"_id": {"$gt": documents[-1]["_id"]}}
