"""When a key ends: what the settings allow, and no later than a key of role USER or VERIFIER that makes it; pure."""

from datetime import datetime, timedelta
from typing import Any

from ..errors import InvalidArgument, PermissionDenied
from ..messages.values import DateTime, instant_text
from ..metrics import LIMITS
from ..settings import Settings
from .access import COMMAND_LINE, OF_ONE_USER, Caller
from .scopes import ROTATE

NOTICES = tuple(timedelta(days=days) for days in (30, 7, 1))  # so long before its end a key's owner is told


def end_of_created(given: DateTime | None, caller: Caller, settings: Settings, at: DateTime) -> DateTime | None:
    """The end of a key that is created at an instant; None for never.

    Raises InvalidArgument for a given end that is further ahead than the settings allow, PermissionDenied for one that
    is later than the caller may give.
    """
    latest = caller.expires_at if caller.role in OF_ONE_USER else None
    if given is not None:
        _check_policy(given, settings, at)
        if latest is not None and given > latest:
            raise PermissionDenied(_LATER.format(end=instant_text(latest)), at="expires_at")
        return given
    days = settings.default_lifetime_days or settings.max_lifetime_days
    ends = [end for end in (at + timedelta(days=days) if days else None, latest) if end is not None]
    return DateTime(min(ends)) if ends else None


def check_new_end(
    new: datetime | None, document: dict[str, Any], caller: Caller, settings: Settings, at: datetime
) -> None:
    """Check another end of a stored key; an earlier one is always allowed.

    Raises what `check_future` and `end_of_created` do, also for a caller of role USER or VERIFIER that moves its own
    end further ahead without the scope `identity:rotate`, or further than the lifetime that it was made with. The end
    that the key has is no change, also where it is past.
    """
    old, own = document.get("expires_at"), document["_id"] == caller.key_id
    if new == old:
        return
    if new is not None:
        check_future(new, at, ", or disable the key")
    if caller is COMMAND_LINE or old is None or (new is not None and new < old):
        return
    _check_policy(new, settings, at)
    if caller.role in OF_ONE_USER:
        if own:
            _check_renewal(new, document, caller, at)
        elif caller.expires_at is not None and (new is None or new > caller.expires_at):
            raise PermissionDenied(_LATER.format(end=instant_text(caller.expires_at)), at="expires_at")


def next_notice(end: datetime | None, at: datetime) -> datetime | None:
    """When the next notice of a key's end is due after an instant; None where there is none."""
    return None if end is None else min((end - before for before in NOTICES if end - before > at), default=None)


_LATER = "it is later than this key may set. Give {end} or earlier."


def _check_renewal(new: datetime | None, document: dict[str, Any], caller: Caller, at: datetime) -> None:
    """A key moves its own end by at most the lifetime that it was made with, if it has the scope."""
    lifetime = document.get("lifetime_seconds")
    if caller.scopes is None or ROTATE not in caller.scopes or lifetime is None:
        raise PermissionDenied(
            "a key of role USER or VERIFIER can postpone its own end only with the scope "
            f"{ROTATE}, and if it was made with an end. Send a key of a higher role.",
            at="expires_at",
        )
    if new is None or _minutes((new - at).total_seconds()) > _minutes(lifetime):
        raise PermissionDenied(
            f"this key may set its own end at most {_lifetime_text(lifetime)} ahead of now: the lifetime that it was "
            "made with.",
            at="expires_at",
        )


def _minutes(seconds: float) -> float:
    """A lifetime in whole minutes, the nearest, as lifetimes are compared.

    A client computes an end some time before the service reads it, and their clocks differ. Half a minute more can be
    had once: keys that make and renew one another do not add it up.
    """
    return (seconds + 30) // 60


def _lifetime_text(seconds: float) -> str:
    minutes = int(_minutes(seconds))
    parts = ((minutes // 1_440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute"))
    told = [f"{count} {name}{'' if count == 1 else 's'}" for count, name in parts if count]
    return " ".join(told) or f"{int(seconds)} seconds"


def check_future(end: datetime, at: datetime, otherwise: str = "") -> None:
    """Raise InvalidArgument for an end that is past; `otherwise` is what else to do than to give a later one."""
    if end <= at:
        raise InvalidArgument(f"this instant is in the past. Give a later one{otherwise}.", at="expires_at")


def _check_policy(end: datetime | None, settings: Settings, at: datetime) -> None:
    days = settings.max_lifetime_days
    if days and (end is None or _minutes((end - at).total_seconds()) > days * 1_440):
        LIMITS.add("max_lifetime_days")
        raise InvalidArgument(
            f"give an instant at most {days} days ahead: the limit `max_lifetime_days`.", at="expires_at"
        )
