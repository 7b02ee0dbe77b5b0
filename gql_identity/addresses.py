"""Addresses of clients: reading them, the network that counts as one client, and proxies that name the client. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

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
