"""Addresses of clients: reading them, the network that counts as one client, and proxies that name the client. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

UNKNOWN = "unknown"  # in place of an address (RFC 7239, section 6.2)
MAX_TEXT = 100  # characters; an address with a zone and a port has fewer
_WITH_PORT = re.compile(r"\[(?P<ipv6>[^\]]*)\](:[0-9]{1,5})?|(?P<ipv4>[0-9.]+):[0-9]{1,5}")

Network = IPv4Network | IPv6Network


def read_address(text: str) -> IPv4Address | IPv6Address:
    """The address of a text, without the port that some proxies add; IPv4 mapped to IPv6 becomes IPv4.

    A zone, as in `fe80::1%eth0`, is left out: it means nothing on another machine, and may be any text. Raises
    ValueError.
    """
    if len(text) > MAX_TEXT:
        raise ValueError("it is too long")
    return _read(text)


@lru_cache(10_000)
def _read(text: str) -> IPv4Address | IPv6Address:
    if (parts := _WITH_PORT.fullmatch(text)) is not None:
        text = parts["ipv6"] or parts["ipv4"] or ""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def network_of(address: str) -> str:
    """What counts as one client: the address, or for IPv6 its /64, as whoever has one of its addresses has them all."""
    try:
        return _network_of(read_address(address))
    except ValueError:
        return UNKNOWN


@lru_cache(10_000)
def _network_of(address: IPv4Address | IPv6Address) -> str:
    return str(address) if address.version == 4 else str(ip_network((int(address), 64), strict=False))


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether this is an address of one of these networks; a text that is no address is not."""
    if not networks:
        return False
    try:
        read = read_address(address)
    except ValueError:
        return False
    return any(read in network for network in networks)


class Range(NamedTuple):
    """The addresses of a network, from the first to the last, as numbers."""

    version: int
    first: int
    last: int

    def includes(self, other: "Range") -> bool:
        """Whether all addresses of another range are in this one."""
        return self.version == other.version and self.first <= other.first and other.last <= self.last


def read_range(text: str) -> Range:
    """The addresses of a network, written as `ip_network` reads it. Raises ValueError."""
    # A read may have hundreds of keys with a hundred networks each. `ip_network` takes 7 us for each, and this takes 1.
    address, _, length = text.partition("/")
    version, family = (6, AF_INET6) if ":" in address else (4, AF_INET)
    try:
        hosts = _HOSTS[version, length]
        first = int.from_bytes(inet_pton(family, address), "big")
    except (KeyError, OSError, ValueError):
        return _read_unusual(text)
    if first & hosts or "%" in address:
        return _read_unusual(text)
    return Range(version, first, first | hosts)


def _read_unusual(text: str) -> Range:
    """As `read_range`, for a network that is written in another form, such as one with a mask, and for none at all."""
    network = ip_network(text)
    return Range(network.version, int(network.network_address), int(network.broadcast_address))


# The bits of a network's hosts, by its version and the length of its prefix.
_HOSTS = {
    (version, str(length)): (1 << bits - length) - 1
    for version, bits in ((4, 32), (6, 128))
    for length in range(bits + 1)
}


def range_of(address: str) -> Range | None:
    """An address as a range of its own; None for a text that is no address."""
    try:
        read = read_address(address)
    except ValueError:
        return None
    return Range(read.version, int(read), int(read))


def client_address(peer: str, forwarded_for: str, trusted_proxies: Sequence[Network]) -> str:
    """The address that a request comes from: the peer's, unless the peer is a trusted proxy that names another.

    The first address from the right that is not a trusted proxy's: anyone can write those left of it. As `read_address`
    reads it; `unknown` for a text of a proxy that is none.
    """
    addresses = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    address = peer
    while addresses and is_within(address, trusted_proxies):
        address = addresses.pop()
    return address if address == peer else _plain(address)


def _plain(text: str) -> str:
    try:
        return str(read_address(text))
    except ValueError:
        return UNKNOWN
