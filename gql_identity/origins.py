"""Origins of pages, as browsers send them (RFC 6454, section 6.2)."""

import re
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_origin(origin: str) -> None:
    """Raise ValueError, with what to write instead, for a text that no browser sends as the origin of a page."""
    if "*" in origin:
        raise ValueError(f"`{origin}`: there are no wildcards; list each origin, such as https://app.example")
    if origin == "null":
        raise ValueError("`null`: any page can have the origin null; serve the page from an address of its own")
    if not _SCHEME.match(origin):
        raise ValueError(f"`{origin}`: an origin begins with a scheme: write http://{origin} or https://{origin}")
    if origin.lower().startswith(("ws://", "wss://")):
        raise ValueError(f"`{origin}`: the origin is that of the page: write http{origin[2:]}")
    if not origin.isascii():
        raise ValueError(f"`{origin}`: browsers send a host in ASCII; write its name as xn--...")
    if (sent := _as_sent(origin)) is None:
        raise ValueError(
            f"`{origin}`: this is not an origin; give a scheme, a host and maybe a port: https://app.example"
        )
    if sent != origin:
        raise ValueError(f"`{origin}`: browsers send {sent}; write it so")


def _as_sent(address: str) -> str | None:
    """The origin that a browser sends for a page at this address; None if there is none."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname and _host_as_sent(parts.hostname)
    if not host or re.search(r"[\s\\]", address):
        return None
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}")


def _host_as_sent(host: str) -> str | None:
    if ":" in host:
        with suppress(AddressValueError):
            return f"[{IPv6Address(host)}]"
        return None
    # A name whose last part is a number is an address (url.spec.whatwg.org, "ends in a number").
    if host.rpartition(".")[2].isdecimal():
        with suppress(AddressValueError):
            return str(IPv4Address(host))
        return None
    return host if _HOST.fullmatch(host) else None
