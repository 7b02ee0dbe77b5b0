"""The indexes of the collections."""

from collections.abc import Sequence

from pymongo import ASCENDING, IndexModel

from ..command import own_command
from ..errors import StartError

# Reads and writes of keys name `domain_id`, with few exceptions such as the look-up by digest (docs/mongodb.md).
# (domain_id, _id) is the shard key too.
_KEYS = {
    "domain_id_1__id_1": IndexModel([("domain_id", ASCENDING), ("_id", ASCENDING)], unique=True),
    "domain_id_1_user_id_1__id_1": IndexModel([("domain_id", ASCENDING), ("user_id", ASCENDING), ("_id", ASCENDING)]),
    "domain_id_1_state_1__id_1": IndexModel([("domain_id", ASCENDING), ("state", ASCENDING), ("_id", ASCENDING)]),
    "domain_id_1_created_at_1__id_1": IndexModel(
        [("domain_id", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)]
    ),
    "domain_id_1_expires_at_1__id_1": IndexModel(
        [("domain_id", ASCENDING), ("expires_at", ASCENDING), ("_id", ASCENDING)]
    ),
    # Of all domains, for notices of keys that end soon; keys without an end are not in it.
    "notice_at_1": IndexModel([("notice_at", ASCENDING)], sparse=True),
    "digest_1": IndexModel([("digest", ASCENDING)]),
    # Of all domains, to count the keys of each pepper.
    "pepper_1": IndexModel([("pepper", ASCENDING)]),
}

_AUDIT = {
    "domain_id_1__id_1": IndexModel([("domain_id", ASCENDING), ("_id", ASCENDING)], unique=True),
    "domain_id_1_api_key_id_1__id_1": IndexModel(
        [("domain_id", ASCENDING), ("api_key_id", ASCENDING), ("_id", ASCENDING)]
    ),
    "expires_at_1": IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
}

_REQUESTS = {"expires_at_1": IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0)}

_USAGE = {
    "domain_id_1__id_1": IndexModel([("domain_id", ASCENDING), ("_id", ASCENDING)], unique=True),
    "expires_at_1": IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
}

# By collection, and the name of the index.
INDEXES = {"api_keys": _KEYS, "audit": _AUDIT, "requests": _REQUESTS, "usage": _USAGE}


def lacking(indexes: Sequence[str]) -> StartError:
    """The error for indexes that a database lacks, as in `api_keys.digest_1`."""
    return StartError(
        f"The database lacks the indexes {', '.join(indexes)}. "
        f"Run `{own_command()} create-indexes` at a quiet time, then start again."
    )
