"""`Caller` and what it may do; pure.

| | USER | VERIFIER | DOMAIN_OWNER | SYSTEM |
|---|---|---|---|---|
| create | for itself, role USER | as USER | for any user of its domain, USER or DOMAIN_OWNER | any |
| get, list, stat, enable, disable, delete | its own user's keys | as USER | its domain's keys | any |
| verify | its own user's keys | any key | its domain's keys | any key |

A caller's reach ends at its own rank: a key of a higher role is, for it, one that does not exist.
"""

from typing import Any, NamedTuple

from ..errors import PermissionDenied
from ..messages.requests import CreateAPIKeyRequest
from ..messages.values import APIKeyRole

_ANY = frozenset(APIKeyRole)
_OF_ONE_USER = frozenset({APIKeyRole.USER, APIKeyRole.VERIFIER})
_WITHIN = {role: frozenset(other for other in APIKeyRole if other.rank <= role.rank) for role in APIKeyRole}
_WITHIN[APIKeyRole.SYSTEM] = _ANY
_MAY_CREATE = {
    APIKeyRole.USER: frozenset({APIKeyRole.USER}),
    APIKeyRole.VERIFIER: frozenset({APIKeyRole.USER}),
    APIKeyRole.DOMAIN_OWNER: frozenset({APIKeyRole.USER, APIKeyRole.DOMAIN_OWNER}),
    APIKeyRole.SYSTEM: _ANY,
}


class Caller(NamedTuple):
    """Who asks: a key, its user, its domain and its role."""

    key_id: str
    domain_id: str
    user_id: str
    role: APIKeyRole


class Reach(NamedTuple):
    """The keys that a caller can see and change in one domain; for it, others do not exist."""

    domain_id: str
    user_id: str | None
    roles: frozenset[APIKeyRole]

    @property
    def first(self) -> dict[str, Any]:
        """The conditions that an index answers: they stand first in every query."""
        return {"domain_id": self.domain_id} | ({} if self.user_id is None else {"user_id": self.user_id})

    @property
    def rest(self) -> dict[str, Any]:
        """The conditions that narrow `first` further; none for SYSTEM."""
        return {} if self.roles is _ANY else {"role": {"$in": sorted(r.name for r in self.roles)}}

    def covers(self, user_id: str, role: APIKeyRole) -> bool:
        """Whether a key of this domain is within reach."""
        if self.user_id is not None and self.user_id != user_id:
            return False
        return self.roles is _ANY or role in self.roles


def may_name(caller: Caller, domain_id: str) -> bool:
    """Whether a caller may name a domain at all."""
    return caller.role is APIKeyRole.SYSTEM or domain_id == caller.domain_id


def may_see(caller: Caller, domain_id: str, user_id: str | None = None) -> bool:
    """Whether a domain, or a user of it, is within a caller's reach."""
    return may_name(caller, domain_id) and (user_id is None or reach(caller, domain_id).user_id in (None, user_id))


def reach(caller: Caller, domain_id: str) -> Reach:
    """What of a domain is within a caller's reach.

    Raises PermissionDenied where it is not the caller's own domain; whether that domain exists stays untold.
    """
    if not may_name(caller, domain_id):
        raise PermissionDenied("This key may not ask about another domain than its own.")
    return Reach(domain_id, caller.user_id if caller.role in _OF_ONE_USER else None, _WITHIN[caller.role])


def may_verify(caller: Caller, domain_id: str, user_id: str, role: APIKeyRole) -> bool:
    """Whether a caller may ask about a key of this domain, user and role, whose secret it has.

    VERIFIER may ask about any key, since that is what the role is for; for the others their reach bounds it.
    """
    if caller.role is APIKeyRole.VERIFIER:
        return True
    return may_name(caller, domain_id) and reach(caller, domain_id).covers(user_id, role)


def check_create(caller: Caller, request: CreateAPIKeyRequest) -> None:
    """Raise PermissionDenied where the caller may not make this key."""
    within = reach(caller, request.domain_id)
    if within.user_id not in (None, request.user_id):
        raise PermissionDenied("This key may make keys for its own user only.")
    allowed = _MAY_CREATE[caller.role]
    if request.role not in allowed:
        names = " or ".join(role.name for role in APIKeyRole if role in allowed)
        raise PermissionDenied(f"This key may make keys of role {names} only.")
