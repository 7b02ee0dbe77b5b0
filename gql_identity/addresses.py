"""Addresses of clients: reading them, the network that counts as one client, and proxies that name the client. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

MAX_TEXT = 100  # characters; an address with a zone and a port has fewer

Network = IPv4Network | IPv6Network


def read_address(text: str) -> IPv4Address | IPv6Address:
    """The address of a text, without the port that some proxies add; IPv4 mapped to IPv6 becomes IPv4.

    Raises ValueError.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def network_of(address: str) -> str:
    """What counts as one client: the address, or for IPv6 its /64, as whoever has one of its addresses has them all."""
    return _network_of(address) if len(address) <= MAX_TEXT else "unknown"


@lru_cache(10_000)
def _network_of(text: str) -> str:
    try:
        address = read_address(text)
    except ValueError:
        return "unknown"
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

    The first address from the right that is not a trusted proxy's: anyone can write those left of it.
    """
    addresses = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    address = peer
    while addresses and is_within(address, trusted_proxies):
        address = addresses.pop()
    return address
