"""Clients: the users whose keys are used, and the addresses without a known key; how much each may have at once."""

import asyncio
from functools import cached_property

from starlette.types import Scope

from ..addresses import client_address, network_of
from ..errors import ResourceExhausted
from ..keys.access import Caller
from ..keys.credentials import Credentials
from ..metrics import LIMITS
from ..settings import Settings
from .proxies import peer_of
from .starts import Starts

ANSWERS_AT_ONCE = 3  # large responses of one client, of up to 30 MB, that are computed or wait to be read
ANSWER_SECONDS = 5.0  # for an earlier one of these to be read, before the next request is refused
RETRY_SECONDS = 1


class Client:
    """What the requests and connections of one client share in this process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests = 0  # over HTTP, and under way
        self.streams = 0  # of server-sent events
        self.connections = 0  # WebSockets
        self.waiting_characters = 0  # of messages over WebSocket whose operations have not begun

    @cached_property
    def answering(self) -> asyncio.Semaphore:
        """What its large responses take; most clients have none, and are made anew for each request."""
        return asyncio.Semaphore(ANSWERS_AT_ONCE)


class Clients:
    """The clients of one process that have something under way."""

    def __init__(self, credentials: Credentials, settings: Settings) -> None:
        self.starts = Starts()
        self.limit = settings.max_concurrent_requests
        self._credentials = credentials
        self._settings = settings
        self._clients: dict[str, Client] = {}

    def enter(self, scope: Scope) -> "Place":
        """Count an HTTP request, by its address until its key is known."""
        return Place(self, self.of_address(scope))

    def of_address(self, scope: Scope) -> Client:
        """The client at the address that a request or a WebSocket comes from; IPv6 addresses count by /64."""
        return self._named(self._address(scope))

    def of_caller(self, caller: Caller) -> Client:
        """The user whose key was sent: more keys of a user give it no more."""
        return self._named(_user(caller.domain_id, caller.user_id))

    def forget(self, client: Client) -> None:
        """Drop a client that has nothing under way."""
        if not (client.requests or client.streams or client.connections):
            self._clients.pop(client.name, None)

    def likely_name(self, scope: Scope) -> str:
        """The name of the client that a request comes from, before its key is looked up: by keys that were valid."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                secret = value.decode("latin-1").strip().partition(" ")[2].strip()
                if (key := self._credentials.recently_valid(secret)) is not None:
                    return _user(key.domain_id, key.user_id)
        return self._address(scope)

    def _address(self, scope: Scope) -> str:
        return f"address {network_of(address_of(scope, self._settings))}"

    def _named(self, name: str) -> Client:
        if (client := self._clients.get(name)) is None:
            client = self._clients[name] = Client(name)
        return client


class Place:
    """The place of one HTTP request among those of its client."""

    def __init__(self, clients: Clients, client: Client) -> None:
        self._clients = clients
        self.client = client  # the address, then the user of its key
        self._is_stream = False
        self._answering: asyncio.Semaphore | None = None
        client.requests += 1

    def check(self) -> None:
        """Raise ResourceExhausted where the client has more requests under way than it may."""
        if self.client.requests > self._clients.limit:
            raise _too_many("requests")

    def move_to(self, caller: Caller) -> None:
        """Count the request for the user of its key from now on. Raises ResourceExhausted as `check` does."""
        self._end()
        self.client = self._clients.of_caller(caller)
        self.client.requests += 1
        self.check()

    def become_stream(self) -> None:
        """Count an event stream, which may stay open for hours, apart from requests. Raises ResourceExhausted."""
        if self.client.streams >= self._clients.limit:
            raise _too_many("event streams")
        self.client.requests -= 1
        self.client.streams += 1
        self._is_stream = True

    async def hold_answer(self) -> None:
        """Wait until the client has few large responses that are computed or not read; the place counts as one then.

        Raises ResourceExhausted where it does not read them.
        """
        if self._answering is not None:  # of an earlier operation of a batch
            return
        answering = self.client.answering
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await answering.acquire()
        except TimeoutError:
            LIMITS.add("answers_at_once")
            message = (
                f"{ANSWERS_AT_ONCE} lists or other large responses of this client are in progress or not read yet. "
            )
            raise ResourceExhausted(f"{message}Read them, and try again.", RETRY_SECONDS) from None
        self._answering = answering

    def leave(self) -> None:
        """End: the response has been read, but for what the socket holds."""
        if self._answering is not None:
            self._answering.release()
        self._end()

    def _end(self) -> None:
        if self._is_stream:
            self.client.streams -= 1
        else:
            self.client.requests -= 1
        self._clients.forget(self.client)


def address_of(scope: Scope, settings: Settings) -> str:
    """The address that a request or a WebSocket comes from, as `client_address` finds it."""
    peer = peer_of(scope)
    if not settings.trusted_proxies:
        return peer
    # A proxy may add its own header below the client's.
    forwarded_for = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for")
    return client_address(peer, forwarded_for, settings.trusted_proxies)


def _user(domain_id: str, user_id: str) -> str:
    return f"user {domain_id}\n{user_id}"  # ids have no control characters


def _too_many(what: str) -> ResourceExhausted:
    LIMITS.add("max_concurrent_requests")
    message = f"Too many {what} of this client at once: the limit `max_concurrent_requests`. "
    return ResourceExhausted(f"{message}Try again in {RETRY_SECONDS} s.", RETRY_SECONDS)
