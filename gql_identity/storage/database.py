"""Connect to MongoDB, make its indexes, tell whether it is ready.

Reads go to the primary and writes wait for a majority, whatever the URI says: the bound on how long a disabled key
may still be accepted rests on it.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from functools import partial
from importlib.util import find_spec
from math import inf
from typing import Any, Self, TypeVar

# With pyOpenSSL and service-identity the driver uses them for TLS. Without service-identity it finds that out after it
# has imported cryptography, which takes 8 MB of each process; told beforehand, it does the same as then.
if find_spec("service_identity") is None:
    sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]

import pymongo
import pymongo.errors as driver
import structlog
from bson.codec_options import CodecOptions, DatetimeConversion
from motor.frameworks import asyncio as asyncio_framework
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.collection import Collection
from pymongo.command_cursor import CommandCursor
from pymongo.cursor import Cursor
from pymongo.read_concern import ReadConcern

from ..command import own_command
from ..deadlines import DEADLINE, LATE_SECONDS, TIMER, CallTimeout, note_write, stop_deadline
from ..errors import DeadlineExceeded, InvalidArgument, ServiceError, StartError, Unavailable
from ..metrics import DATABASE_FAILURES
from ..settings import Settings
from ..timeouts import Timeout
from ..version import version
from .commands import listeners
from .connection_string import reading
from .failures import NO_ANSWER, Failures, hide_documents, reason_of, refusal_at_start, translate
from .indexes import INDEXES, lacking
from .meta import MetaDocument
from .scans import LONGEST_SCAN_SECONDS, SCANS_AT_ONCE, Scans, Share
from .scans import Document as Document
from .threads import DaemonThreads, run_in_thread
from .transactions import Write, run_transaction

DEFAULT_NAME = "identity"
# Instants before the year 1 or after 9999, and text that is not UTF-8, would fail the whole read.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
# Naive instants, in UTC, take half the time: for fields that are only written into a response.
PRINTED_CODEC = CODEC.with_options(tz_aware=False)
PRINTED_KEYS = "printed_api_keys"  # the collection of keys, read with that codec
_COMPARED = frozenset({"expires_at", "secrets", "secret_uses"})  # hold instants that are compared with others
# May be of kilobytes each: more keys with these than so many are decoded in a thread, and not on the event loop.
LONG = frozenset({"allowed_addresses", "digest", "makers", "pepper", "scopes", "secrets", "secret_uses", "tags"})
LONG_ON_LOOP = 16
CHECK_SCHEMA_SECONDS = 20.0
# At the end: for reads that were given up, and to tell the server that sessions and streams end. The driver would wait
# for a server that does not answer.
CLOSE_SECONDS = 0.5
CONNECT_SECONDS = 5.0  # the driver seeks a server as long as a call may take: some commands allow hours
EMBEDDED_SET = "secantus"  # the name of the replica set that the embedded engine says it is
OLDEST_WIRE_VERSION = 17  # of MongoDB 6.0, the first with images in change streams and spilling to disk by default
MORE_SECONDS = 1.0  # than the driver's own timeout, for a call that waits for a thread
READS_AT_ONCE = 64
CALLS_OF_MOTOR_AT_ONCE = 64  # by default 5 a CPU, of which a change stream holds one

# Motor's own threads would hold up the end of the process.
_MOTOR = DaemonThreads(CALLS_OF_MOTOR_AT_ONCE, "driver")
asyncio_framework._EXECUTOR = _MOTOR  # type: ignore[assignment]

log = structlog.get_logger()

T = TypeVar("T")


def keys_for(fields: Iterable[str]) -> str:
    """The collection to read these stored fields of keys from: with naive instants unless some are compared."""
    return PRINTED_KEYS if _COMPARED.isdisjoint(fields) else "api_keys"


class Database:
    """A connection to the database; an async context manager."""

    def __init__(self, settings: Settings) -> None:
        if settings.mongo_uri is None:
            raise StartError(f"No database: give --mongo-uri, or run `{own_command()} serve`, which starts one.")
        self._settings = settings
        self._timeout_seconds = settings.database_timeout_seconds
        uri = settings.mongo_uri.get_secret_value()
        watched: dict[str, Any] = {"tz_aware": True, "serverSelectionTimeoutMS": 1000, "event_listeners": listeners()}
        limited = watched | {"timeoutMS": int(settings.database_timeout_seconds * 1000)}
        with reading(uri):
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                uri, appname=f"gql-identity/{version()}", **limited
            )
            self._read_client: pymongo.AsyncMongoClient[Document] = pymongo.AsyncMongoClient(
                uri,
                # A close while it connects leaves the socket to the garbage collector, and streams have another one.
                serverMonitoringMode="poll",
                appname=f"gql-identity-reads/{version()}",
                **limited,
            )
            self._scan_client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                uri,
                connect=False,
                maxPoolSize=SCANS_AT_ONCE,
                socketTimeoutMS=int(LONGEST_SCAN_SECONDS * 1000),
                retryReads=False,
                appname=f"gql-identity-scans/{version()}",
                **watched,
            )
            database = self._client.get_default_database(DEFAULT_NAME)
        strict: dict[str, Any] = {
            "codec_options": CODEC,
            "read_preference": ReadPreference.PRIMARY,
            "write_concern": WriteConcern("majority"),
            "read_concern": ReadConcern(),
        }
        self.name: str = database.name
        self.api_keys: AsyncIOMotorCollection[Document] = database.get_collection("api_keys", **strict)
        self.audit: AsyncIOMotorCollection[Document] = database.get_collection("audit", **strict)
        self.requests: AsyncIOMotorCollection[Document] = database.get_collection("requests", **strict)
        self.usage: AsyncIOMotorCollection[Document] = database.get_collection("usage", **strict)
        self._indexed = {name: getattr(self, name) for name in ("api_keys", "audit", "requests", "usage")}
        printed = strict | {"codec_options": PRINTED_CODEC}
        read_from = self._indexed | {PRINTED_KEYS: database.get_collection("api_keys", **printed)}
        self._read_from: dict[str, Collection[Document]] = {name: one.delegate for name, one in read_from.items()}
        on_loop = self._read_client[self.name]
        self._read_on_loop: dict[str, AsyncCollection[Document]] = {
            name: on_loop.get_collection(one.name, **strict | {"codec_options": one.codec_options})
            for name, one in read_from.items()
        }
        self.meta: AsyncIOMotorCollection[Document] = database.get_collection("meta", **strict)
        self.jwt_issuers: AsyncIOMotorCollection[Document] = database.get_collection("jwt_issuers", **strict)
        self.signing_keys: AsyncIOMotorCollection[Document] = database.get_collection("signing_keys", **strict)
        self.meta_document = MetaDocument(self.meta, settings.peppers, self._run)
        self.prepared = False
        self.is_sharded = False  # whether it is a cluster of shards, which `prepare` finds out
        self._is_embedded = False  # whether it is the embedded engine, likewise
        self.failures = Failures()
        # Of OpenID Connect: the driver reads it from a file, or asks a cloud's server for it.
        self._needs_token = "MONGODB-OIDC" in uri
        self._not_ready = "The database is not ready yet. Try again."
        self._readers = DaemonThreads(READS_AT_ONCE, "reader")
        self._reading: set[asyncio.Task[list[Document]]] = set()  # under way on the event loop
        scanned = {name: self._scan_client[self.name].get_collection(name, **strict) for name in ("api_keys", "audit")}
        scanned[PRINTED_KEYS] = scanned["api_keys"].with_options(PRINTED_CODEC)
        self._scans = Scans(scanned, settings.max_answer_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._readers.end()
        self._scans.close()
        with pymongo.timeout(CLOSE_SECONDS):
            try:
                await self._end_reads()
                await self._read_client.close()
            finally:
                self._client.close()
                self._scan_client.close()

    async def _end_reads(self) -> None:
        """Wait for reads that were given up, and cancel those that the database does not answer soon."""
        if self._reading:
            _, unanswered = await asyncio.wait(self._reading, timeout=CLOSE_SECONDS)
            for reading in unanswered:
                reading.cancel()
            if unanswered:
                await asyncio.wait(unanswered, timeout=CLOSE_SECONDS)

    def note_point_read(self, seconds: float) -> None:
        """Note how long a read of keys that are named one by one took: lists and statistics give way to these."""
        self._scans.note_point_read(seconds)

    def waiting(self) -> dict[str, int]:
        """How many calls wait for a thread or a connection, by the pool, and lists and statistics for a slot."""
        connections = self._read_client.options.pool_options.max_pool_size or inf
        return {
            "driver": _MOTOR.waiting,
            "readers": self._readers.waiting,
            "reads": int(max(0, len(self._reading) - connections)),
            "scans": self._scans.waiting,
        }

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a driver's call, within the database's timeout and the request's deadline.

        Raises Unavailable, DeadlineExceeded, or InvalidArgument for a pattern that the database cannot read.
        """
        if not self.prepared:
            error = Unavailable(self._not_ready)
            error.reason = self.failures.current
            raise error
        return await self._run(call)

    async def find(
        self, where: Document, most: int, fields: frozenset[str] | None = None, collection: str = "api_keys"
    ) -> list[Document]:
        """The documents that match, with these fields or all, in one round trip; raises what `run` does.

        Only for conditions that name documents one by one, at most so many: they are read and decoded on the event
        loop (docs/decisions.md, "Named documents are read on the event loop"), unless they may be many and long.
        """
        wanted = None if fields is None else dict.fromkeys(sorted(fields), 1)
        in_one_batch = most + 1
        if most > LONG_ON_LOOP and (fields is None or not LONG.isdisjoint(fields)):
            return await self.to_list(lambda read: read.find(where, wanted, batch_size=in_one_batch), collection)
        # As `find_one`, one document at most where one is named: other programs may have written several.
        found = self._read_on_loop[collection].find(
            where, wanted, limit=-1 if most == 1 else 0, batch_size=in_one_batch
        )
        return await self.run(lambda: self._to_its_end(found))

    def _to_its_end(self, found: AsyncCursor[Document]) -> "asyncio.Future[list[Document]]":
        """What a cursor finds. It goes on when the future is cancelled: the driver would close its connection."""
        reading = asyncio.create_task(found.to_list())
        self._reading.add(reading)
        reading.add_done_callback(self._end_reading)
        return asyncio.shield(reading)

    def _end_reading(self, reading: "asyncio.Task[list[Document]]") -> None:
        self._reading.discard(reading)
        if not reading.cancelled():
            reading.exception()  # nobody waits for a read that was given up

    async def find_one(self, where: Document, fields: frozenset[str] | None = None) -> Document | None:
        """The key that a condition names, with these stored fields or all, as `find`; None where there is none."""
        return next(iter(await self.find(where, 1, fields)), None)

    async def to_list(
        self,
        find: Callable[[Collection[Document]], Cursor[Document] | CommandCursor[Document]],
        collection: str = "api_keys",
    ) -> list[Document]:
        """All documents of a cursor on a collection; raises what `run` does.

        The cursor is PyMongo's, which Motor wraps, opened and read to its end in one thread (docs/decisions.md,
        "PyMongo reads cursors"). Only for reads whose size has a bound, such as a page of a command. Lists and
        statistics of callers use `aggregate`, which waits for a slot of the caller's share.
        """
        return await self._run_in_thread(lambda: find(self._read_from[collection]).to_list())

    async def transaction(self, write: Write[T]) -> T:
        """The result of PyMongo's calls in one transaction, as `run_transaction` makes them.

        Raises what `run` does; after Unavailable or DeadlineExceeded the writes may have happened.
        """
        client: pymongo.MongoClient[Document] = self._client.delegate
        audit: Collection[Document] = self.audit.delegate
        note_write()
        end = time.monotonic() + self._seconds_left()
        return await self._run_in_thread(
            lambda: run_transaction(client, audit, write, end, is_embedded=self._is_embedded)
        )

    async def _run_in_thread(self, call: Callable[[], T]) -> T:
        # The context has the trace, and the driver's timeout, which `run` sets.
        return await self.run(lambda: run_in_thread(self._readers, partial(copy_context().run, call)))

    async def aggregate(
        self, pipeline: list[Document], share: Share, *, collection: str = "api_keys", bounded: bool = False
    ) -> list[Document]:
        """All documents that a pipeline returns, read when the share of a user and domain has a slot.

        `bounded` counts their bytes, for statistics. Raises what `run` does, InvalidArgument for too many bytes, and
        ResourceExhausted where earlier reads took the share until the deadline.
        """
        # One batch holds the largest page: a page is one round trip.
        in_one_batch = self._settings.max_page_size + 1
        seconds = self._seconds_left()
        return await self.run(
            lambda: self._scans.aggregate(collection, pipeline, share, seconds, in_one_batch, bounded=bounded)
        )

    def _seconds_left(self) -> float:
        """How long a call may take: less than the database's timeout where the request's deadline comes first."""
        deadline = DEADLINE.get()
        if TIMER.get() is not None:  # also for several requests, which have no deadline together
            deadline = min(deadline or inf, stop_deadline())
        if deadline is None:
            return self._timeout_seconds
        return max(0.001, min(self._timeout_seconds, deadline - time.monotonic()))

    @staticmethod
    def _until_deadline(seconds: float) -> float:
        """So many seconds, or less where the request's deadline comes first."""
        deadline = DEADLINE.get()
        return seconds if deadline is None else min(seconds, deadline - time.monotonic() + LATE_SECONDS)

    async def _run(self, call: Callable[[], Awaitable[T]]) -> T:
        seconds = self._seconds_left()
        ending = Timeout if TIMER.get() is None else CallTimeout  # the stop ends the calls of requests
        try:
            if seconds < self._timeout_seconds:
                # The driver's own error, which comes first, says why.
                with pymongo.timeout(seconds), ending(seconds + LATE_SECONDS):
                    result = await call()
            else:
                # The driver has its own timeout, the client's. It counts neither the wait for a thread nor the
                # repetitions of a transaction.
                with ending(self._until_deadline(seconds + MORE_SECONDS)):
                    result = await call()
        except TimeoutError:
            raise self._failed(DeadlineExceeded(NO_ANSWER), "no response in time") from None
        except driver.PyMongoError as error:
            hide_documents(error)
            if not self.prepared and (refusal := refusal_at_start(error)):
                raise refusal from None
            if (translated := translate(error)) is None:
                raise
            if isinstance(translated, InvalidArgument):
                raise translated from error
            raise self._failed(translated, reason_of(error)) from error
        except (OSError, RuntimeError, ValueError) as error:
            if not self._needs_token:
                raise
            unavailable = Unavailable("The database cannot be used now. Try again.")
            raise self._failed(unavailable, f"no token for MONGODB-OIDC: {reason_of(error)}") from error
        if self.failures.current is not None:
            self.failures.end()
        return result

    def _failed(self, error: ServiceError, reason: str) -> ServiceError:
        DATABASE_FAILURES.add(error.code)
        self.failures.note(reason)
        error.reason = reason
        return error

    async def prepare(self, *, own_indexes: bool = False) -> None:
        """Check the schema's number and the peppers, and make the indexes of a database that is empty or our own.

        Idempotent, and safe beside other processes that do the same. Raises StartError where this code must not use
        the database, Unavailable or DeadlineExceeded where it does not answer.
        """
        await self.check_server()
        await self.meta_document.check()
        # Asked in any case, as the first read of its client: several at once would each begin to watch the servers.
        if await self._is_empty() or own_indexes:
            await self.create_indexes()
        elif missing := await self.missing_indexes():
            raise lacking(missing)
        await self.meta_document.upgrade()
        self.prepared = True

    async def _is_empty(self) -> bool:
        keys = self._read_on_loop["api_keys"]
        return await self._run(lambda: keys.find_one({}, {"_id": 1})) is None

    async def check_server(self) -> None:
        """Raise StartError for a server that the service cannot use, Unavailable for one that is not reached in 5 s."""
        with pymongo.timeout(min(self._timeout_seconds, CONNECT_SECONDS)):
            hello = await self._run(lambda: self._client.admin.command("hello"))
        if hello["maxWireVersion"] < OLDEST_WIRE_VERSION:
            raise StartError(
                "The database is older than MongoDB 6.0, which the service needs (docs/mongodb.md). Upgrade it."
            )
        self.is_sharded = hello.get("msg") == "isdbgrid"
        if "setName" not in hello and not self.is_sharded:
            raise StartError(
                "This MongoDB is a standalone server, which has no transactions. Make it a replica set of one member: "
                "start it with `--replSet rs0`, and run `rs.initiate()` once."
            )
        self._is_embedded = hello.get("setName") == EMBEDDED_SET
        if self._is_embedded:
            # A worker that was killed in a transaction left its key locked. MongoDB ends such a transaction after a
            # minute, the embedded engine never does. Those of other workers that are ended here are repeated.
            await self._run(lambda: self._client.admin.command({"killAllSessions": []}))

    async def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Use other peppers from now on. Raises what `prepare` does where the database must not be used with them.

        A database that is not prepared yet is checked with them when it is.
        """
        await self.meta_document.use_peppers(peppers, check=self.prepared)

    async def keep_checking_schema(self) -> None:
        """Stop using the database once a newer version has upgraded it; until cancelled.

        This version would accept what the newer one refuses, such as a key whose end it cannot read.
        """
        while True:
            await asyncio.sleep(CHECK_SCHEMA_SECONDS)
            try:
                if self.prepared:
                    await self.meta_document.check_schema()
            except StartError as error:
                log.error("the database was upgraded", reason=str(error))
                self._not_ready = str(error)
                self.prepared = False
                return
            except ServiceError:
                pass  # the database cannot be reached; the log says why
            except Exception as error:
                log.warning("the schema's number cannot be read", reason=type(error).__name__)

    async def create_indexes(self) -> None:
        """Make the indexes and tables that are missing, and have the database keep what a deleted key was.

        Subscribers are told of that.
        """
        for name, indexes in INDEXES.items():
            await self._run(lambda: self._indexed[name].create_indexes(list(indexes.values())))  # noqa: B023
        if self._is_embedded:
            # The engine has a table for these, which it cannot make on a full disk: all reads of it would fail then.
            database = self.api_keys.database
            there = await self._run(database.list_collection_names)
            for name in {self.jwt_issuers.name, self.signing_keys.name}.difference(there):
                await self._run(lambda: database.create_collection(name))  # noqa: B023
        images = {"collMod": self.api_keys.name, "changeStreamPreAndPostImages": {"enabled": True}}
        try:
            await self._run(lambda: self.api_keys.database.command(images))
        except driver.OperationFailure as error:
            # Older than MongoDB 6, not a replica set, or not allowed: then deletes are told to nobody.
            log.warning(
                "the database keeps no images of deleted keys", reason=error.details and error.details.get("codeName")
            )

    async def check_pepper_index(self) -> None:
        """Raise StartError where keys cannot be found by their peppers' fingerprints, as the index is missing.

        Raises Unavailable and DeadlineExceeded too.
        """
        index = "api_keys.pepper_1"
        if index in await self.missing_indexes() and not await self._is_empty():
            raise lacking([index])

    async def keys_by_pepper(self, pipeline: list[Document]) -> list[Document]:
        """All rows of a pipeline that begins with a pepper's fingerprint; of a database that is not prepared, too.

        A database for which the settings lack a pepper cannot be prepared; check its index first. Raises Unavailable
        and DeadlineExceeded.
        """
        rows: list[Document] = await self._run(lambda: self.api_keys.aggregate(pipeline).to_list(None))
        return rows

    async def missing_indexes(self) -> list[str]:
        """The indexes that are missing, as in `api_keys.digest_1`."""
        missing: list[str] = []
        for name, indexes in INDEXES.items():
            there = await self._run(self._indexed[name].index_information)
            missing += [f"{name}.{index}" for index in indexes if index not in there]
        return missing

    async def check_ready(self) -> None:
        """Raise Unavailable or DeadlineExceeded unless the database can be read and has been prepared."""
        await self.run(lambda: self.meta.find_one({}, {"_id": 1}))  # an engine that has failed still answers a ping
