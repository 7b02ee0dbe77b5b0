"""The listening socket, and the number of files that a process may open."""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import StartError

if sys.platform != "win32":
    import resource

MAX_FILES = 65_536
RESERVED_FILES = 320  # of a process, for the database, its files and connections that are not counted yet
BACKLOG = 2_048


@contextmanager
def listen(host: str, port: int, advice: str | None = None) -> Iterator[socket.socket]:
    """A socket that listens on this address; raises StartError, with this advice, where that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"--host {host}: {error.strerror}.") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            # From here on the port is ours, and clients that connect wait for the first worker.
            listener.listen(BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                advice = "Choose an address of this machine with --host."
            elif advice is None:
                another = port + 1 if port < 65535 else 8000
                advice = f"Choose another with --port, or by GQL_IDENTITY_PORT={another} make serve."
            raise StartError(f"Cannot listen on {host} port {port}: {error.strerror}. {advice}") from None
        yield listener


def room_for_connections() -> int:
    """How many connections this process can hold and still open files and connections to the database."""
    if sys.platform == "win32":
        return MAX_FILES
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MAX_FILES
    return max(1, limit - min(RESERVED_FILES, limit // 2))


def raise_file_limit() -> None:
    """Allow this process up to 65,536 open files, if the system lets it: each connection is one.

    Systems give a process 1,024 until it asks for more.
    """
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MAX_FILES), most))
