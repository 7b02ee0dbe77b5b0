"""Failures of the database: the service's error for each of the driver's, and what operators are told of them.

Operators are told in the driver's own words, since these say what to mend: `CERTIFICATE_VERIFY_FAILED`,
`Name or service not known`. Clients are not.
"""

import re
import time
from itertools import chain

import pymongo.errors as driver
import structlog

from ..errors import DeadlineExceeded, InvalidArgument, ServiceError, StartError, Unavailable
from ..logs import redact

TELL_SECONDS = 5.0  # between two warnings, however often the reason changes

log = structlog.get_logger()

NO_ANSWER = "The database did not respond in time. Try again."
_REFUSES = "The database refuses what the service needs: check the user, its password and its rights (--mongo-uri)."
_DAMAGED = "The database cannot read its files: restore all of them from a backup."
_UNREADABLE = "WT_ERROR"  # of WiredTiger, for a file that is missing or damaged
# MongoDB's codes of one write among several.
DUPLICATE_KEY = 11000
WRITE_CONFLICT = 112  # another write has just come before
# MongoDB's codes, and the embedded engine's: 2, for a pattern that it finds too large.
_BAD_PATTERN = {2, 51091, 51108}
# Memory, with and without the disk; a document of more than 16 MB, in a group, a row or a reply.
_TOO_LARGE = {146, 292, 10334, 17260, 17261, 17419, 17420}
_FULL_OR_FAILED = ("No space left on device", "OutOfDiskSpace", "WtError")  # the last is of the embedded engine
# Unauthorized, AuthenticationFailed, ReauthenticationRequired, and Atlas's own for a wrong user or password.
_REFUSED = {13, 18, 391, 8000}
# What passes: a member that is not reached or starts, an election, a chunk that moves, an overload. The driver knows
# some, and has tried again before it raises them.
# fmt: off
_PASSING = {
    6, 7, 24, 43, 70, 89, 91, WRITE_CONFLICT, 133, 134, 150, 175, 189, 202, 237, 262, 365, 407, 433, 449, 462,
    9001, 11600, 11601, 11602, 13388,
}
# fmt: on
# A server of the driver's list that has not responded, and has not failed either.
_SILENT = re.compile(r"<ServerDescription \('([^']*)', (\d+)\) server_type: Unknown, rtt: None>")
# One whose response is not of MongoDB's protocol; what the driver says of it is other numbers each time.
_FOREIGN = re.compile(r"<ServerDescription \('([^']*)', (\d+)\)[^<>]*error=ProtocolError\(")
# The values of a duplicate.
_VALUES = re.compile(r" dup key: .*", re.DOTALL)
# What differs from one attempt to the next: timeouts, the driver's view of all servers, lines of OpenSSL's source.
_VARYING = re.compile(r",? ?\(configured timeouts: [^)]*\)|,? Timeout: .*|,? timeout: [\d.]+|,? ?\(_ssl\.c:\d+\)")


class Failures:
    """The failures of one process's database: each is told once, until its reason changes."""

    def __init__(self) -> None:
        self.current: str | None = None  # the reason of the last failure, until the database responds
        self.are_logged = False  # commands print their own
        self._told: str | None = None
        self._told_at = -TELL_SECONDS  # by time.monotonic()

    def note(self, reason: str, event: str = "the database failed") -> None:
        """Note that the database failed, and why."""
        self.current = reason
        now = time.monotonic()
        if self.are_logged and reason != self._told and now - self._told_at >= TELL_SECONDS:
            self._told, self._told_at = reason, now
            log.warning(event, reason=reason)

    def end(self) -> None:
        """Note that the database responds."""
        self.current = None
        if self._told is not None:
            self._told = None
            log.info("the database responds again")


def reason_of(error: Exception) -> str:
    """What an error of the driver says, without secrets and without what differs from one attempt to the next."""
    if isinstance(error, driver.ServerSelectionTimeoutError) and (foreign := _FOREIGN.findall(str(error))):
        return f"not MongoDB's protocol at {', '.join(f'{host}:{port}' for host, port in foreign)}"
    is_silence = isinstance(error, driver.ServerSelectionTimeoutError) and "found yet" in str(error)
    if is_silence and (silent := _SILENT.findall(str(error))):
        return f"no response from {', '.join(f'{host}:{port}' for host, port in silent)}"
    return redact(_VARYING.sub("", _said(error)).strip() or type(error).__name__)


def may_pass(error: Exception) -> bool:
    """Whether what a write raised may not be raised again: a failure of the database, and no document it never takes.

    `InvalidArgument` is of one that is too large, for example.
    """
    return isinstance(error, ServiceError) and not isinstance(error, InvalidArgument)


def hide_documents(error: driver.PyMongoError) -> None:
    """Keep documents out of an error's text, which may be logged: the driver repeats those that it could not write.

    They have digests. The error's `details` stay, for the code that handles it.
    """
    if isinstance(error, driver.OperationFailure) and error.details:
        name = error.details.get("codeName")
        error.args = (f"{_said(error)} (code {error.code}{f', {name}' if name else ''})",)


def _said(error: Exception) -> str:
    """What the server said, without the documents and values that it said it of; what another error says."""
    if not isinstance(error, driver.OperationFailure) or not error.details:
        return str(error)
    failed = (error.details.get(part) or () for part in ("writeErrors", "writeConcernErrors"))
    told = [_VALUES.sub("", str(part.get("errmsg") or "")) for part in (error.details, *chain(*failed))]
    return "; ".join(text for text in dict.fromkeys(told) if text) or type(error).__name__


def address_error(error: Exception) -> StartError:
    """The error for an address that the driver does not take, or that names a file which cannot be used."""
    if isinstance(error, OSError):
        return StartError(
            f"The database's address names a file that cannot be used, as in tlsCAFile: {reason_of(error)}"
        )
    return StartError(f"The database's address is wrong: {reason_of(error)}")


def refusal_at_start(error: driver.PyMongoError) -> StartError | None:
    """The error for what time does not mend, of a database that was not prepared yet; None for other failures."""
    if _UNREADABLE in str(error):
        return StartError(f"{_DAMAGED} It said: {reason_of(error)}")
    if isinstance(error, driver.ConfigurationError) and not _is_of_dns(error):
        return address_error(error)
    if _is_refused(error) or translate(error) is None:
        return StartError(f"{_REFUSES} It said: {reason_of(error)}")
    return None


def translate(error: driver.PyMongoError) -> Unavailable | DeadlineExceeded | InvalidArgument | None:
    """The service's error for one of the driver's, None where it is a fault of ours."""
    if isinstance(error, driver.NetworkTimeout | driver.ExecutionTimeout | driver.WaitQueueTimeoutError):
        return DeadlineExceeded(NO_ANSWER)
    if isinstance(error, driver.ConnectionFailure) or _is_of_dns(error):
        return Unavailable("The database cannot be reached now. Try again.")
    if _is_refused(error):
        return Unavailable("The database cannot be used now. Try again.")
    if isinstance(error, driver.OperationFailure) and error.code in _BAD_PATTERN:
        return InvalidArgument("The database cannot read a pattern of the query. Simplify it.")
    is_long = isinstance(error, driver.ProtocolError) and "max message size" in str(error)
    if is_long or (isinstance(error, driver.OperationFailure) and error.code in _TOO_LARGE):
        return InvalidArgument("The query collects more than the database can hold at once. Narrow it.")
    if isinstance(error, driver.OperationFailure) and _UNREADABLE in str(error):
        return Unavailable(_DAMAGED)
    if isinstance(error, driver.OperationFailure) and any(sign in str(error) for sign in _FULL_OR_FAILED):
        return Unavailable("The database cannot work now. Try again.")
    if error.timeout:
        return DeadlineExceeded(NO_ANSWER)
    if isinstance(error, driver.WriteConcernError):
        return Unavailable("The database did not confirm the write. Check whether it took place.")
    if isinstance(error, driver.OperationFailure) and (error.code in _PASSING or _is_of_a_transaction(error)):
        return Unavailable("The database cannot respond now. Try again.")
    return None


def _is_of_dns(error: driver.PyMongoError) -> bool:
    """Whether the name of a mongodb+srv:// address was not found, which may pass like any other host's."""
    return isinstance(error, driver.ConfigurationError) and type(error.__cause__).__module__.startswith("dns.")


def _is_of_a_transaction(error: driver.PyMongoError) -> bool:
    """Whether a transaction may have failed only for what others did: the driver repeated it until the deadline."""
    return any(map(error.has_error_label, ("TransientTransactionError", "UnknownTransactionCommitResult")))


def _is_refused(error: driver.PyMongoError) -> bool:
    return isinstance(error, driver.OperationFailure) and error.code in _REFUSED
