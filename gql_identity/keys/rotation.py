"""Rotation: a key gets another secret, and the older one is accepted for a while; at most two are live. Pure.

A key that was rotated stores the digests of its secrets as a list, the newest first, and beside it `secrets`, in the
same order: each one's number, hint, time and end. Ended ones are kept for 30 days, so that whoever still sends one is
told.
"""

from datetime import datetime, timedelta
from typing import Any

from ..errors import FailedPrecondition, InvalidArgument
from ..messages.keys import APIKeyInfo, APIKeySecretInfo
from ..messages.requests import APIKeyOverlapChoice, RotateAPIKeyRequest
from ..messages.values import DateTime
from .digests import digests_of, peppers_of, with_digest
from .documents import unreadable
from .validity import UsedSecret, has_ended

KEPT_FOR = timedelta(days=30)  # how long an ended secret answers ROTATED
MAX_ENDED = 10  # ended secrets of one key that are kept; those that are live always are
MAX_OVERLAP_SECONDS = 2_592_000
MIN_OWN_OVERLAP_SECONDS = 60  # so that a key that lost the response to its own rotation can try again

Document = dict[str, Any]


def secrets_of(document: Document) -> list[Document]:
    """The secrets of a key, live and ended, the newest first. A number may be a whole double, as all stored ones."""
    stored: list[Document] | None = document.get("secrets")
    if stored is not None:
        return stored
    return [{"number": 1, "hint": document.get("hint"), "created_at": document.get("created_at")}]


def uses_of(document: Document) -> dict[str, datetime]:
    """When each secret of a key was last used, by its number as text; of a key that was never rotated, its only one."""
    stored: dict[str, datetime] | None = document.get("secret_uses")
    if stored is not None:
        return stored
    used = document.get("last_accessed_at")
    return {"1": used} if isinstance(used, datetime) else {}


def live_secrets(document: Document) -> list[APIKeySecretInfo]:
    """The secrets that are accepted now, the newest first."""
    end, uses = document.get("expires_at"), document.get("secret_uses") or {"1": document.get("last_accessed_at")}
    return [
        APIKeySecretInfo(
            hint=one["hint"],
            created_at=one["created_at"],
            # An overlap that was promised never passes the key's end, which may have been moved since.
            expires_at=_earlier(one.get("expires_at"), end),
            last_accessed_at=uses.get(str(int(one["number"]))),
        )
        for one in secrets_of(document)
        # An imported key has a secret that nobody has sent yet: nothing is known of it.
        if one["hint"] and not has_ended(one.get("expires_at"))
    ]


def note_secret_number(key: APIKeyInfo, document: Document, number: int) -> bool:
    """Note which of its secrets a token of this key was made for; return whether the key still has it."""
    secrets = document.get("secrets")
    if secrets is None:
        return number in (0, 1)
    one = next((one for one in secrets if one["number"] == (number or 1)), None)
    if one is not None:
        _note(key, document, one)
    return one is not None


def _earlier(one: datetime | None, end: datetime | None) -> DateTime | None:
    """The end of a secret, of a key that ends then; None for one that ends with its key."""
    return None if one is None else DateTime(one if end is None else min(one, end))


def note_used_secret(key: APIKeyInfo, document: Document, digest: bytes) -> None:
    """Note by which of its secrets a key was found."""
    if (secrets := document.get("secrets")) is None:
        return
    _note(key, document, secrets[document["digest"].index(digest)])


def _note(key: APIKeyInfo, document: Document, one: Document) -> None:
    newest, *older = document["secrets"]
    was_used, is_newest = _was_newest_used(document), one is newest
    overlaps = is_newest and not was_used and not all(has_ended(other.get("expires_at")) for other in older)
    secret = UsedSecret(int(one["number"]), one.get("expires_at"), was_used and not is_newest, overlaps)
    key.__dict__["used_secret"] = secret


def is_live(document: Document, number: int) -> bool:
    """Whether the secret of this number is one of a stored key's, and has not ended."""
    return any(one["number"] == (number or 1) and not has_ended(one.get("expires_at")) for one in secrets_of(document))


def is_superseded_in(document: Document, number: int) -> bool:
    """Whether the secret of this number may manage no keys any more: a newer one of its key was used.

    No where the secrets cannot be read: such a key is not valid, and can only be deleted.
    """
    secrets = document.get("secrets")
    if secrets is None or unreadable(document, ("secrets",)) or secrets[0]["number"] == (number or 1):
        return False
    return _was_newest_used(document)


def _was_newest_used(document: Document) -> bool:
    uses = document.get("secret_uses") or {}
    # Where the uses cannot be read, it may have been used.
    return not isinstance(uses, dict) or str(int(document["secrets"][0]["number"])) in uses


def is_forgotten(secret: UsedSecret) -> bool:
    """Whether a secret ended so long ago that it is as if it had never been."""
    # Only an end that has come: there may be no instant so long after another one.
    end = secret.expires_at
    return end is not None and has_ended(end) and has_ended(end + KEPT_FOR)


def rotated(
    document: Document,
    made: Document,
    request: RotateAPIKeyRequest,
    end: datetime | None,
    at: datetime,
    *,
    sent: UsedSecret | None,
    accepts_jwts: bool,
) -> Document:
    """The fields to set for another secret with this digest, fingerprint and hint, of a key that ends at `end`.

    `sent` is the secret with which a key rotates itself. `accepts_jwts` is whether JWTs of the key's domain are. Raises
    FailedPrecondition for an expired key, where two secrets overlap already and the request refuses that, and where it
    would end the secret that was sent.
    """
    if has_ended(end):
        raise FailedPrecondition("This key has expired. Give another end with the rotation, as `expires_at`.")
    secrets = [dict(one) for one in secrets_of(document)]
    live = [one for one in secrets if not has_ended(one.get("expires_at"))]
    lasting = _lasting(live, _usable(document, live, accepts_jwts), request)
    if sent is not None and _is_among(sent, live) and not _is_among(sent, lasting):
        other = "REPLACE_NEWER" if _is_among(sent, live[1:]) else "END_OLDER"
        raise FailedPrecondition(
            "This would end the secret that you sent, so that you could not send the request again if its response "
            f"is lost. Give `{other}` as `if_overlapping`, or send the other secret."
        )
    overlap_end = at + timedelta(seconds=request.overlap_seconds)
    for one in live:
        one["expires_at"] = at if one not in lasting else overlap_end if end is None else min(overlap_end, end)
    newest = {"number": int(secrets[0]["number"]) + 1, "hint": made["hint"], "created_at": at}
    digests, peppers = [made["digest"], *digests_of(document)], [made["pepper"], *peppers_of(document)]
    return {**_kept([newest, *secrets], digests, peppers, document, at), "hint": made["hint"], "rotated_at": at}


def overlap_ended(document: Document, at: datetime, sent: UsedSecret | None = None) -> Document:
    """The fields to set so that only the newest secret is accepted; none where it is the only one.

    `sent` is the secret with which a key ends its own overlap. Raises FailedPrecondition for the older one: whoever
    never got the newer one would have none.
    """
    newest, *older = secrets_of(document)
    if all(has_ended(one.get("expires_at")) for one in older):
        return {}
    if sent is not None and _is_among(sent, older):
        raise FailedPrecondition("This would end the secret that you sent. Send the newest one.")
    ended = [one if has_ended(one.get("expires_at")) else {**one, "expires_at": at} for one in older]
    return {"secrets": [newest, *ended]}


def with_jwt(document: Document, place: int, made: Document, hint: str) -> Document:
    """The fields to set so that the secret at this place, of an imported key, has the digest and hint of its JWT."""
    changes = with_digest(document, place, made)
    if document.get("secrets") is None:
        return changes | {"hint": hint}
    # It was rotated before its JWT was used.
    secrets = [one | {"hint": hint} if at == place else one for at, one in enumerate(document["secrets"])]
    return changes | {"secrets": secrets}


def check_overlap(seconds: int, *, own: bool) -> None:
    """Raise InvalidArgument for an overlap that is too long, or too short for a key that rotates itself."""
    least = MIN_OWN_OVERLAP_SECONDS if own else 0
    if not least <= seconds <= MAX_OVERLAP_SECONDS:
        of_itself = " for a key that rotates itself" if own else ""
        raise InvalidArgument(f"give {least} to {MAX_OVERLAP_SECONDS}{of_itself}, not {seconds}.", at="overlap_seconds")


def _is_among(sent: UsedSecret, secrets: list[Document]) -> bool:
    return any(one["number"] == (sent.number or 1) for one in secrets)


def _usable(document: Document, live: list[Document], accepts_jwts: bool) -> list[Document]:
    """The live secrets that somebody can use now: not that of an imported key, unless it may be a JWT."""
    known = [digest is not None for digest in digests_of(document)]
    numbers = {one["number"] for one, is_known in zip(secrets_of(document), known, strict=True) if is_known}
    return [one for one in live if accepts_jwts or one["number"] in numbers]


def _lasting(live: list[Document], usable: list[Document], request: RotateAPIKeyRequest) -> list[Document]:
    """What overlaps with a new secret: one at most. Raises FailedPrecondition where the request does not say which."""
    if request.overlap_seconds == 0:
        return []
    if len(usable) < 2:
        return usable or live[:1]
    if request.if_overlapping is APIKeyOverlapChoice.REFUSE:
        raise FailedPrecondition(
            "Two secrets of this key are accepted already. Give `END_OLDER` or `REPLACE_NEWER` as `if_overlapping`: "
            "which one ends."
        )
    return usable[:1] if request.if_overlapping is APIKeyOverlapChoice.END_OLDER else usable[1:]


def _kept(
    secrets: list[Document],
    digests: list[bytes | None],
    peppers: list[str | None],
    document: Document,
    at: datetime,
) -> Document:
    """The secrets that are kept, with their digests, fingerprints and uses."""
    ended = [one["expires_at"] for one in secrets if one.get("expires_at") is not None and one["expires_at"] <= at]
    since = max([at - KEPT_FOR, *sorted(ended, reverse=True)[MAX_ENDED : MAX_ENDED + 1]])
    kept = [
        (one, digest, pepper)
        for one, digest, pepper in zip(secrets, digests, peppers, strict=True)
        if one.get("expires_at") is None or one["expires_at"] > since
    ]
    numbers = {str(int(one["number"])) for one, _, _ in kept}
    return {
        "secrets": [one for one, _, _ in kept],
        "digest": [digest for _, digest, _ in kept],
        "pepper": [pepper for _, _, pepper in kept],
        "secret_uses": {number: used for number, used in uses_of(document).items() if number in numbers},
    }
