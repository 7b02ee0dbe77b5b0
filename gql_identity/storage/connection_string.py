"""MongoDB's connection string: what the driver makes of it, told without the password that is in it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pymongo.errors as driver
import structlog
from pymongo.uri_parser import split_options, validate_options

from ..errors import StartError
from ..logs import redact
from .failures import address_error

_UNKNOWN = "Unknown option"
_told: set[str] = set()

log = structlog.get_logger()


def hosts_of(uri: str) -> str:
    """The hosts that a connection string names, as the driver reads it."""
    return _without_options(uri).partition("/")[0].rpartition("@")[2]


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """In the block a client is made from this connection string. Raises StartError if it is wrong.

    The driver ignores an option with a wrong value: with `tls=ture` it would not encrypt. Here that is an error. An
    option that it does not know, which may be of another driver, is a line in the log.
    """
    _check_password(uri)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
            _check_name(uri)
            _check_options(uri)
        except (driver.PyMongoError, ValueError, TypeError, OSError) as error:
            raise address_error(error) from None
    for text in dict.fromkeys(str(one.message) for one in said if one.category is UserWarning):
        if text not in _told:
            _told.add(text)
            reason = redact(text.removesuffix(" Refer to docstring."))
            log.warning("an option of the database's address is not used", reason=reason)


def _check_password(uri: str) -> None:
    """Raise StartError for a slash or a question mark in a password: the rest of it would pass for something else."""
    text = uri.partition("://")[2]
    hosts = text.partition("?")[0].partition("/")[0]
    behind = text[len(hosts) :]  # it has the password's end, if that was cut off
    if "@" in (behind if behind.startswith("?") else behind.partition("?")[0]):
        raise StartError(
            "The database's address is wrong: escape what is special in the user's name and password, as in %2F for /."
        )


def _check_name(uri: str) -> None:
    """Raise StartError for a name with a dot, which the driver reads as a database and a collection of it."""
    name = _without_options(uri).partition("/")[2]
    if "." in name:
        raise StartError(f"The database's address is wrong: the name of a database has no dot, as {redact(name)} has.")


def _check_options(uri: str) -> None:
    """Raise one of the errors of `reading` for an option with a wrong value."""
    options = uri.partition("?")[2]
    for name, value in split_options(options, validate=False, normalize=False).items() if options else ():
        try:
            validate_options({name: value})
        except driver.ConfigurationError as error:
            if not str(error).startswith(_UNKNOWN):
                raise


def _without_options(uri: str) -> str:
    return uri.partition("?")[0].partition("://")[2]
