"""Documents as Cloudforet 1.12 stores them, made by this project; none of its code is here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import joserfc.jwt
from joserfc.jwk import RSAKey

START = datetime(2023, 4, 1, tzinfo=UTC)


def key(number: int, **other: Any) -> dict[str, Any]:
    """A document of `a_p_i_key`: a key of one of 50 users in one of 3 domains, every tenth disabled."""
    made: dict[str, Any] = {
        "_id": bson.ObjectId(),
        "api_key_id": f"api-key-{number:012x}",
        "state": "DISABLED" if number % 10 == 9 else "ENABLED",
        "user_id": f"user-{number % 50}",
        "user": bson.ObjectId(),
        "domain_id": f"domain-{number % 3}",
        "last_accessed_at": None,
        "created_at": START + timedelta(minutes=number),
    }
    return {name: value for name, value in (made | other).items() if value is not ...}


# Keys that are as they may not be, and the field that says so.
AWKWARD: list[tuple[dict[str, Any], str]] = [
    (key(2001, state="EXPIRED"), "state"),
    (key(2002, state=1), "state"),
    (key(2003, state=...), "state"),
    (key(2004, user_id=...), "user_id"),
    (key(2005, user_id=None), "user_id"),
    (key(2006, user_id=""), "user_id"),
    (key(2007, user_id=" blank "), "user_id"),
    (key(2008, user_id=7), "user_id"),
    (key(2009, user_id="a\x1b[31mred"), "user_id"),
    (key(2010, domain_id=...), "domain_id"),
    (key(2011, domain_id=["domain-1"]), "domain_id"),
    (key(2012, api_key_id=...), "api_key_id"),
    (key(2013, api_key_id="x" * 256), "api_key_id"),
    (key(2014, created_at="2023-04-01"), "created_at"),
    (key(2015, created_at=...), "created_at"),
    (key(2016, created_at=bson.DatetimeMS(2**55)), "created_at"),
    (key(2017, last_accessed_at="never"), "last_accessed_at"),
    (key(2018, user_id=bson.Code("a")), "user_id"),
    (key(0, domain_id="domain-9", _id=bson.ObjectId("f" * 24)), "api_key_id"),  # twice the same id, in two domains
]
# Keys that look odd and are as they may be.
ODD = [
    key(3001, api_key_id="k" * 40, user_id="u" * 40, domain_id="d" * 40),
    key(3002, user_id="ännchen@例え.jp"),
    key(3003, user=...),
    key(3004, user=None, last_accessed_at=...),
    key(3005, last_accessed_at=START),
    key(3006, more={"of": "something else"}),
]


def jwt(key: RSAKey, document: dict[str, Any], header: dict[str, Any] | None = None, **claims: Any) -> str:
    """The secret of a key as Cloudforet makes it, signed by its domain's private key."""
    payload = {
        "cat": "API_KEY",
        "user_type": "USER",
        "did": document["domain_id"],
        "aud": document["user_id"],
        "iat": int(START.timestamp()),
        "api_key_id": document["api_key_id"],
        "ver": "2022-12-12",
    }
    claims = {name: value for name, value in (payload | claims).items() if value is not ...}
    return joserfc.jwt.encode({"alg": "RS256", "typ": "JWT"} | (header or {}), claims, key, ["RS256", "RS512"])


def domain_secret(domain_id: str, key: RSAKey, **other: Any) -> dict[str, Any]:
    """A document of `domain_secret`."""
    return {
        "domain_id": domain_id,
        "domain_key": "0123456789abcdef",
        "pub_jwk": dict(key.as_dict(private=False)),
        "prv_jwk": dict(key.as_dict(private=True)),
        **other,
    }
