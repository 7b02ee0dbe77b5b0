"""From which addresses a key may be used, as networks in CIDR notation (RFC 4632); pure.

A key without a list may be used from anywhere. One with a list makes and changes no key beyond its own list.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from ..addresses import Network, Range, range_of, read_range
from ..errors import InvalidArgument, PermissionDenied
from ..secret import contains_secret

MAX_NETWORKS = 100  # of one key
MAX_NETWORK = 64  # characters; the service writes up to 43


def check_addresses(networks: Sequence[str]) -> list[str]:
    """The networks as they are stored, each once. Raises InvalidArgument that names the one to change."""
    if not 1 <= len(networks) <= MAX_NETWORKS:
        raise InvalidArgument(
            f"give 1 to {MAX_NETWORKS} networks, or null for any.",
            at="allowed_addresses",
        )
    checked: dict[str, None] = {}
    for at, text in enumerate(networks):
        try:
            checked[str(_network(text))] = None
        except ValueError as error:
            is_plain = text.isprintable() and len(text) < 100 and not contains_secret(text)
            reason = str(error) if is_plain else "it is none"
            raise InvalidArgument(
                f"give an address or a network in CIDR notation, as in `10.0.0.0/8`: {reason}.",
                at=f"allowed_addresses[{at}]",
            ) from None
    return list(checked)


def check_within(given: Sequence[str] | None, own: Sequence[str] | None) -> None:
    """Raise PermissionDenied unless a caller with its own list may give this one."""
    if not is_within(given, own):
        raise PermissionDenied(
            "this key is restricted to addresses, so it can only allow addresses of its own. Give some of those.",
            at="allowed_addresses",
        )


def is_within(one: Sequence[str] | None, other: Sequence[str] | None) -> bool:
    """Whether a key with one list may be used from no address from which a key with the other list may not."""
    if other is None:
        return True
    ranges = _ranges(other)
    return one is not None and all(any(own.includes(given) for own in ranges) for given in map(read_range, one))


def is_allowed(networks: Sequence[str] | None, address: str | None) -> bool:
    """Whether a key with this list may be used from an address; from an unknown one only without a list."""
    if networks is None:
        return True
    place = range_of(address or "")
    return place is not None and any(one.includes(place) for one in _ranges(networks))


def are_networks(texts: Sequence[str]) -> bool:
    """Whether each of these stored texts is a network."""
    if max(map(len, texts), default=0) > MAX_NETWORK:
        return False
    try:
        _ranges(texts)
    except ValueError:
        return False
    return True


def _network(text: str) -> Network:
    """A network; one of IPv4 that is mapped to IPv6 becomes IPv4, as addresses do. Raises ValueError."""
    if "%" in text:  # which `ip_network` takes, with any text after it
        raise ValueError("a network has no zone")
    network = ip_network(text)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))


def _ranges(networks: Sequence[str]) -> tuple[Range, ...]:
    """The addresses of a key's networks. Raises ValueError."""
    if len(networks) > MAX_NETWORKS:  # something else stored them: so many are not kept
        return _read_ranges(networks)
    return _known_ranges(tuple(networks))


def _read_ranges(networks: Sequence[str]) -> tuple[Range, ...]:
    return tuple(map(read_range, networks))


# Of keys that are in use: 25 MB at most.
_known_ranges = lru_cache(maxsize=1_000)(_read_ranges)
