"""The form of `GQL_IDENTITY_ISSUERS`: OpenID issuers whose tokens are accepted, and who their people are here."""

import json
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

MAX_ISSUERS = 20
MAX_CHARACTERS = 255  # of a domain
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# The name of a claim, or the names on the way to one within objects, as ["realm_access", "roles"].
ClaimPath = str | tuple[str, ...]


class OpenIDIssuer(BaseModel):
    """An issuer, and which claims of its tokens say who sends them. What is not named outright is not given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: str
    audience: str = Field(min_length=1)
    domain: str | None = Field(None, min_length=1, max_length=MAX_CHARACTERS)
    domain_claim: ClaimPath | None = None
    user_claim: ClaimPath = "sub"
    roles_claim: ClaimPath | None = None
    roles: dict[str, Literal["USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"]] = {}
    scopes_claim: ClaimPath | None = None
    jwks_uri: str | None = None  # without it, the issuer's own metadata name it

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, value: str) -> str:
        check_url(value)
        return value

    @field_validator("domain_claim", "user_claim", "roles_claim", "scopes_claim")
    @classmethod
    def _names_a_claim(cls, value: ClaimPath | None) -> ClaimPath | None:
        if value is not None and not (value and all([value] if isinstance(value, str) else value)):
            raise ValueError("give the name of a claim, or a list of names on the way to it")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "OpenIDIssuer":
        if (self.domain is None) is (self.domain_claim is None):
            raise ValueError("give `domain` or `domain_claim`")
        if bool(self.roles) is not (self.roles_claim is not None):
            raise ValueError("give `roles` and `roles_claim`, or neither")
        if self.jwks_uri is not None:
            check_url(self.jwks_uri, may_be_http=self.is_on_loopback, may_have_query=True)
        return self

    @property
    def is_on_loopback(self) -> bool:
        """Whether the issuer is on this machine: its keys may then be read over http."""
        return urlsplit(self.issuer).hostname in LOOPBACK


_ISSUERS = TypeAdapter(tuple[OpenIDIssuer, ...])


def read_issuers(text: str) -> tuple[OpenIDIssuer, ...]:
    """The issuers of a JSON list. Raises ValueError that names the part to change."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, list):
        raise ValueError("give a JSON list of issuers, as docs/settings.md shows it")
    try:
        issuers = _ISSUERS.validate_python(read)
    except ValidationError as error:
        raise ValueError("; ".join(_mistakes(error))) from None
    names = [one.issuer for one in issuers]
    if len(issuers) > MAX_ISSUERS:
        raise ValueError(f"give at most {MAX_ISSUERS} issuers")
    if len(set(names)) < len(names):
        raise ValueError("it names an issuer twice")
    return issuers


def check_url(url: str, *, may_be_http: bool = True, may_have_query: bool = False) -> None:
    """Raise ValueError for a text that is no URL with https; with `may_be_http`, http is allowed on this machine."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is read here, since it may be no number
    except ValueError:
        raise ValueError("give a URL with https") from None
    is_local = may_be_http and parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or is_local) or not parts.hostname:
        raise ValueError("give a URL with https; http is for this machine alone, as in http://127.0.0.1:8080")
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if (parts.query and not may_have_query) or parts.fragment or "@" in parts.netloc or not is_plain:
        raise ValueError(f"give a URL without a user{'' if may_have_query else ', query'} or fragment")


def check_issuer(issuer: str) -> None:
    """Raise ValueError for a text that is no issuer of ours: paths are added to it (RFC 8414)."""
    check_url(issuer)
    if issuer.endswith("/"):
        raise ValueError("give a URL without a slash at its end")


def _mistakes(error: ValidationError) -> list[str]:
    mistakes: list[str] = []
    for one in error.errors(include_input=False, include_url=False):
        at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"]).lstrip(".")
        mistakes.append(f"{at}: {one['msg'].removeprefix('Value error, ')}".removeprefix(": "))
    return mistakes


def claim(claims: dict[str, Any], path: ClaimPath) -> Any:
    """The value of a claim; None where there is none."""
    found: Any = claims
    for name in [path] if isinstance(path, str) else path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
