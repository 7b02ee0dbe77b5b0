"""`Caller` and what it may do; pure.

| | USER | VERIFIER | DOMAIN_OWNER | SYSTEM |
|---|---|---|---|---|
| create | for itself, role USER | as USER | for any user of its domain, USER or DOMAIN_OWNER | any |
| get, list, stat, update, rotate, enable, disable, delete | its own user's keys | as USER | its domain's keys | any |
| verify | its own user's keys | any key | its domain's keys | any key |

A caller sees no key of a higher rank than its own: to the caller such a key does not exist.
"""

from datetime import datetime
from typing import Any, NamedTuple

from pydantic import SecretStr
from strawberry import ID

from ..errors import InsufficientScope, PermissionDenied
from ..messages.requests import APIKeyReference, APIKeyRequest, CreateAPIKeyRequest, InOneDomain
from ..messages.values import APIKeyRole
from .addresses import is_within
from .documents import role_of
from .scopes import IMPLIED, OURS, READ, ROTATE, WRITE
from .validity import ONLY_SECRET, UsedSecret

MAX_MAKERS = 100
_ANY = frozenset(APIKeyRole)
OF_ONE_USER = frozenset({APIKeyRole.USER, APIKeyRole.VERIFIER})
_VISIBLE_ROLES = {role: frozenset(other for other in APIKeyRole if other.rank <= role.rank) for role in APIKeyRole}
_VISIBLE_ROLES[APIKeyRole.SYSTEM] = _ANY
_MAY_CREATE = {
    APIKeyRole.USER: frozenset({APIKeyRole.USER}),
    APIKeyRole.VERIFIER: frozenset({APIKeyRole.USER}),
    APIKeyRole.DOMAIN_OWNER: frozenset({APIKeyRole.USER, APIKeyRole.DOMAIN_OWNER}),
    APIKeyRole.SYSTEM: _ANY,
}


class Caller(NamedTuple):
    """The key or the person that sends a request, with its domain, user and role."""

    key_id: str  # empty for a person
    domain_id: str
    user_id: str
    role: APIKeyRole
    makers: tuple[str, ...] = ()  # the ids of the keys that made it, one another: the first one first
    expires_at: datetime | None = None  # when it ends
    scopes: frozenset[str] | None = None  # what it may be used for; None: what its role may
    allowed_addresses: tuple[str, ...] | None = None  # from where it may be used; None: from anywhere
    secret: UsedSecret = ONLY_SECRET  # which of its secrets was sent
    credential: SecretStr | None = None  # that secret itself
    address: str = ""  # where the request comes from, as `addresses.client_address` finds it
    token_id: str | None = None  # of the token that was sent in place of a secret
    issuer: str | None = None  # of a person: the OpenID issuer of the token

    @property
    def name(self) -> str:
        """What logs name it by: the key's id, or the person's as their issuer knows them."""
        return self.user_id if self.is_person else self.key_id

    @property
    def noun(self) -> str:
        """What errors call what was sent."""
        return "token" if self.is_person else "key"

    @property
    def is_person(self) -> bool:
        """Whether a person sends the request, who has a token of an OpenID issuer and no key."""
        return self.issuer is not None


# Whoever runs commands on the machine: it may do what a SYSTEM key may, and has no key.
COMMAND_LINE = Caller(key_id="", domain_id="", user_id="", role=APIKeyRole.SYSTEM)


class Access(NamedTuple):
    """Which keys of one domain a caller may see and change; to the caller, others do not exist."""

    domain_id: str
    user_id: str | None
    roles: frozenset[APIKeyRole]

    @property
    def indexed_filter(self) -> dict[str, Any]:
        """The conditions that an index serves: the first stage of every query."""
        return {"domain_id": self.domain_id} | ({} if self.user_id is None else {"user_id": self.user_id})

    @property
    def role_filter(self) -> dict[str, Any]:
        """The conditions that narrow `indexed_filter` further; none for SYSTEM."""
        return {} if self.roles is _ANY else {"role": {"$in": sorted(r.name for r in self.roles)}}

    def includes(self, user_id: str, role: APIKeyRole) -> bool:
        """Whether the caller may see a key of this domain, user and role."""
        if self.user_id is not None and self.user_id != user_id:
            return False
        return self.roles is _ANY or role in self.roles

    def includes_document(self, document: dict[str, Any]) -> bool:
        """As `includes`, for a stored key of this domain."""
        return self.includes(document.get("user_id", ""), role_of(document))


def may_name(caller: Caller, domain_id: str) -> bool:
    """Whether a caller may name a domain in a request at all."""
    return caller.role is APIKeyRole.SYSTEM or domain_id == caller.domain_id


def may_see(caller: Caller, domain_id: str, user_id: str | None = None) -> bool:
    """Whether a caller may see keys of a domain, or of one user of it, whatever its scopes."""
    if not may_name(caller, domain_id):
        return False
    return user_id is None or caller.role not in OF_ONE_USER or caller.user_id == user_id


def require_scope(caller: Caller, scope: str) -> None:
    """Raise InsufficientScope unless the caller's key has this scope."""
    if caller.scopes is not None and scope not in caller.scopes:
        raise InsufficientScope(f"This {caller.noun} lacks the scope {scope}. Send one that has it.", scope)


def domain_of(request: InOneDomain, caller: Caller) -> ID:
    """The domain that a request names; if it names none, the caller's own."""
    return ID(caller.domain_id) if request.domain_id is None else request.domain_id


def access_to(caller: Caller, domain_id: str, scope: str | None = READ) -> Access:
    """Which keys of a domain a caller may see, and with the scope WRITE change; a `scope` of None needs none.

    Raises InsufficientScope, and PermissionDenied for a domain that is not the caller's; the error does not tell
    whether it exists.
    """
    if scope is not None:
        require_scope(caller, scope)
    if not may_name(caller, domain_id):
        raise PermissionDenied(
            f"This {caller.noun} has access to its own domain only. Name that domain, or send a key of role SYSTEM.",
            at="domain_id",
        )
    return Access(domain_id, caller.user_id if caller.role in OF_ONE_USER else None, _VISIBLE_ROLES[caller.role])


def may_verify(caller: Caller, domain_id: str, user_id: str, role: APIKeyRole) -> bool:
    """Whether a caller that has a key's secret may verify it.

    VERIFIER may verify any key: the role is made for it. The others may verify the keys that they may see.
    """
    if caller.role is APIKeyRole.VERIFIER:
        return True
    return may_name(caller, domain_id) and access_to(caller, domain_id, None).includes(user_id, role)


def makers_of_created(caller: Caller) -> list[str]:
    """The keys that made a key which this caller creates. Raises PermissionDenied for a chain that is too long."""
    if caller.is_person:
        return []
    if len(caller.makers) >= MAX_MAKERS:
        raise PermissionDenied(
            f"This key is the last of a chain of {MAX_MAKERS} keys that made one another; create with an older one."
        )
    return [*caller.makers, caller.key_id]


def check_create(caller: Caller, request: CreateAPIKeyRequest) -> None:
    """Raise PermissionDenied where the caller may not create this key."""
    access = access_to(caller, domain_of(request, caller), WRITE)
    if access.user_id not in (None, request.user_id):
        raise PermissionDenied(
            f"This {caller.noun} may create keys for its own user only. Give that user as `user_id`.", at="user_id"
        )
    allowed = _MAY_CREATE[caller.role]
    if request.role not in allowed:
        names = " or ".join(role.name for role in APIKeyRole if role in allowed)
        raise PermissionDenied(f"This {caller.noun} may create keys of role {names} only.", at="role")


def scopes_of_created(given: list[str] | None, caller: Caller) -> list[str] | None:
    """The scopes of a key that this caller creates: at most its own. Raises PermissionDenied."""
    if given is None:
        if caller.scopes is not None:
            raise PermissionDenied(
                f"this {caller.noun} has scopes, so it can only create keys with scopes. Give a list.", at="scopes"
            )
        return None
    _check_gained(frozenset(given), caller)
    return given


def new_scopes(given: list[str] | None, old: list[str] | None, caller: Caller) -> list[str] | None:
    """Other scopes of a key that exists: it keeps or loses what it has, and gains only what the caller has.

    Raises PermissionDenied.
    """
    if given is None:
        if old is not None and caller.scopes is not None:
            raise PermissionDenied(
                f"this {caller.noun} has scopes, so it may not remove a key's list of scopes. Give a list.",
                at="scopes",
            )
        return None
    _check_gained(frozenset(given) - (IMPLIED if old is None else frozenset(old)), caller)
    return given


def check_may_hold(document: dict[str, Any], caller: Caller) -> None:
    """Raise PermissionDenied where the secret of a stored key would let the caller do more, or longer, than its own."""
    scopes, ends = document.get("scopes"), document.get("expires_at")
    if caller.role in OF_ONE_USER and caller.expires_at is not None and (ends is None or ends > caller.expires_at):
        raise _may_not_hold(caller, "that ends later than itself", "that ends no earlier")
    if scopes is None and caller.scopes is not None:
        raise _may_not_hold(caller, "without scopes, as it has scopes itself", "without scopes")
    if not is_within(document.get("allowed_addresses"), caller.allowed_addresses):
        others = "that may be used from other addresses than itself"
        raise _may_not_hold(caller, others, "that may be used from all of its addresses")
    if beyond := _beyond(frozenset(scopes or ()), caller):
        raise _may_not_hold(caller, f"with {', '.join(sorted(beyond))}, which it does not have", "that has them")


def _may_not_hold(caller: Caller, refused: str, able: str) -> PermissionDenied:
    return PermissionDenied(
        f"This {caller.noun} may not get the secret of a key {refused}. Rotate that key with its own secret, or with a "
        f"key {able}."
    )


def check_not_narrowed(document: dict[str, Any], caller: Caller) -> None:
    """Raise PermissionDenied for a token with fewer scopes than its key: another secret would have all of the key's."""
    scopes = document.get("scopes")
    if caller.scopes is not None and (scopes is None or not caller.scopes.issuperset(scopes)):
        raise PermissionDenied(
            "This token has fewer scopes than its key, so it may not rotate the key. Send the key's secret."
        )


def _check_gained(gained: frozenset[str], caller: Caller) -> None:
    if beyond := _beyond(gained, caller):
        raise PermissionDenied(
            f"this {caller.noun} may not give {', '.join(sorted(beyond))}, which it does not have. Leave that out.",
            at="scopes",
        )


def _beyond(gained: frozenset[str], caller: Caller) -> frozenset[str]:
    """Which of these scopes the caller may not give."""
    if caller.scopes is not None:
        return gained - caller.scopes
    if caller.role in OF_ONE_USER:
        # With `identity:rotate` a key moves its own end. So a maker that ends must have that scope itself.
        return gained - (OURS if caller.expires_at is None else IMPLIED)
    return frozenset()


def scope_to_end(request: APIKeyRequest, caller: Caller) -> str | None:
    """The scope for disabling or deleting a key; every key may end itself."""
    return None if is_own(request, caller) else WRITE


def scope_to_renew(request: APIKeyReference, caller: Caller) -> str:
    """The scope for rotating a key, or moving its end."""
    may_renew = caller.scopes is not None and ROTATE in caller.scopes
    return ROTATE if may_renew and is_own(request, caller) else WRITE


def is_own(request: APIKeyReference, caller: Caller) -> bool:
    """Whether a request is about the caller's own key."""
    return not caller.is_person and (domain_of(request, caller), request.api_key_id) == (
        caller.domain_id,
        caller.key_id,
    )
