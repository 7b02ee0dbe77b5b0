"""The commands `create-key` and `rotate-key`, which print a new secret, once."""

import argparse
import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from strawberry import ID, UNSET

from ..command import own_command
from ..errors import FailedPrecondition, InvalidArgument, StartError
from ..keys.access import COMMAND_LINE
from ..keys.api_keys import ApiKeys
from ..keys.every_domain import get_key
from ..keys.records import now
from ..keys.rotation import MAX_OVERLAP_SECONDS
from ..messages.connections import APIKeyTagInput
from ..messages.keys import APIKeyInfo
from ..messages.requests import APIKeyOverlapChoice, CreateAPIKeyRequest, RotateAPIKeyRequest
from ..messages.values import APIKeyRole, DateTime, instant_text
from ..settings import Settings
from ..web.json_messages import message_of, plain
from .arguments import Commands, add_database_flags, settings_of
from .databases import prepared_database, resolved_database


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    create = commands.add_parser("create-key", help="create a key, also while the service runs")
    create.add_argument("--domain-id", required=True, help="the domain of the key's user")
    create.add_argument("--user-id", required=True, help="the user that the key is for")
    create.add_argument("--role", choices=[role.name for role in APIKeyRole], default=APIKeyRole.USER.name)
    create.add_argument("--name", help="the key's name")
    create.add_argument(
        "--expires-in", metavar="TIME", type=_expires_in, help="after how long it ends, as in 90d, 12h or 30m"
    )
    create.add_argument(
        "--scope",
        action="append",
        dest="scopes",
        metavar="SCOPE",
        help="what it may be used for; may be given several times",
    )
    create.add_argument(
        "--tag",
        action="append",
        dest="tags",
        metavar="NAME=VALUE",
        type=_tag,
        help="a text by which to find it; may be given several times",
    )
    create.add_argument(
        "--allowed-address",
        action="append",
        dest="allowed_addresses",
        metavar="NETWORK",
        help="from where it may be used, as in 10.0.0.0/8; may be given several times",
    )
    create.add_argument("--json", action="store_true", help="print the key as an APIKeyInfo message")
    add_database_flags(create)
    create.set_defaults(run=_create_key)

    rotate = commands.add_parser("rotate-key", help="give a key another secret, also while the service runs")
    rotate.add_argument("key_id", metavar="KEY_ID", help="the key's public id")
    rotate.add_argument("--domain-id", help="only a key of this domain")
    rotate.add_argument(
        "--overlap",
        metavar="TIME",
        type=_overlap,
        default="1d",
        help="how long the present secret is still accepted, up to 30d; 0 ends every older one at once (default: 1d)",
    )
    rotate.add_argument(
        "--if-overlapping",
        choices=[_flag(choice) for choice in APIKeyOverlapChoice],
        default=_flag(APIKeyOverlapChoice.REFUSE),
        help="what to do where two secrets are accepted already (default: refuse)",
    )
    rotate.add_argument("--expires-in", metavar="TIME", type=_expires_in, help="another end for the key, as in 90d")
    rotate.add_argument("--json", action="store_true", help="print the key as an APIKeyInfo message")
    add_database_flags(rotate)
    rotate.set_defaults(run=_rotate_key)


_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _duration(text: str, told: str = "give a number of days, hours or minutes, as in 90d, 12h or 30m") -> timedelta:
    try:
        return timedelta(**{_UNITS[text[-1:]]: int(text[:-1])})
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError(told) from None


def _expires_in(text: str) -> DateTime:
    """The instant that lies so far ahead, as in `90d`; raises ArgumentTypeError."""
    duration = _duration(text)
    if duration <= timedelta(0):
        raise argparse.ArgumentTypeError("give more than 0, as in 90d, 12h or 30m")
    try:
        return DateTime(now() + duration)
    except OverflowError:
        raise argparse.ArgumentTypeError("this is later than the year 9999; give less") from None


def _overlap(text: str) -> int:
    """So many seconds; raises ArgumentTypeError."""
    told = "give 0, or up to 30d as days, hours or minutes, as in 1d, 12h or 30m"
    overlap = timedelta(0) if text == "0" else _duration(text, told)
    if not timedelta(0) <= overlap <= timedelta(seconds=MAX_OVERLAP_SECONDS):
        raise argparse.ArgumentTypeError(told)
    return int(overlap.total_seconds())


def _tag(text: str) -> APIKeyTagInput:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("give NAME=VALUE, as in team=payments")
    return APIKeyTagInput(name=name, value=value)


def _flag(choice: APIKeyOverlapChoice) -> str:
    return choice.name.lower().replace("_", "-")


def _create_key(options: argparse.Namespace) -> int:
    async def create(settings: Settings) -> APIKeyInfo:
        request = CreateAPIKeyRequest(
            user_id=ID(options.user_id),
            domain_id=ID(options.domain_id),
            name=options.name,
            role=APIKeyRole[options.role],
            expires_at=options.expires_in,
            scopes=options.scopes,
            tags=options.tags,
            allowed_addresses=options.allowed_addresses,
        )
        async with prepared_database(settings) as database:
            return await ApiKeys(database, settings).create(request, None)

    with resolved_database(settings_of(options), join=True) as resolved, _names_as_flags():
        key = asyncio.run(create(resolved))
    described = f"{key.api_key_id}, role {key.role.name}, for user {key.user_id} of domain {key.domain_id}."
    _print_secret(key, options, [described, "Its secret, shown only once:"])
    return 0


def _rotate_key(options: argparse.Namespace) -> int:
    async def rotate(settings: Settings) -> APIKeyInfo:
        async with prepared_database(settings) as database:
            key = await get_key(database, options.key_id, options.domain_id)
            request = RotateAPIKeyRequest(
                api_key_id=key.api_key_id,
                domain_id=key.domain_id,
                overlap_seconds=options.overlap,
                if_overlapping=APIKeyOverlapChoice[options.if_overlapping.upper().replace("-", "_")],
                expires_at=UNSET if options.expires_in is None else options.expires_in,
            )
            return await ApiKeys(database, settings).rotate(request, COMMAND_LINE)

    with resolved_database(settings_of(options), join=True) as resolved, _names_as_flags():
        key = asyncio.run(rotate(resolved))
    lines = [f"{key.api_key_id}, role {key.role.name}, of user {key.user_id} of domain {key.domain_id}."]
    for older in key.secrets[1:]:
        end = older.expires_at and instant_text(older.expires_at)
        lines.append(f"The secret {older.hint} is accepted until {end}.")
    _print_secret(key, options, [*lines, "Its new secret, shown only once:"])
    return 0


_FLAGS = {
    "allowed_addresses": "--allowed-address",
    "domain_id": "--domain-id",
    "expires_at": "--expires-in",
    "if_overlapping": "--if-overlapping",
    "name": "--name",
    "scopes": "--scope",
    "tags": "--tag",
    "user_id": "--user-id",
    **{choice.name: _flag(choice) for choice in APIKeyOverlapChoice},
}


@contextmanager
def _names_as_flags() -> Iterator[None]:
    """Have errors name the flags of these commands: they name the fields of requests, as REST spells them."""
    try:
        yield
    except (InvalidArgument, FailedPrecondition) as error:
        # A name stands between backticks, or is the invalid part, with which the message begins.
        told = re.sub(
            r"`(\w+)`|^(\w+)(?=[^:\s]*:)", lambda name: _FLAGS.get(name[1] or name[2], name[0]), error.message
        )
        raise type(error)(told) from None


def _print_secret(key: APIKeyInfo, options: argparse.Namespace, lines: list[str]) -> None:
    """Print a key with its secret, as JSON or below these lines. Raises StartError where the secret is lost."""
    text = json.dumps(message_of(key), default=plain) if options.json else "\n".join([*lines, str(key.api_key)])
    try:
        print(text, flush=True)
    except OSError as error:  # a full disk, or a reader that has gone
        raise StartError(
            f"The secret of the key {key.api_key_id} could not be printed, and is lost: {error.strerror}. Give the key "
            f"another with `{own_command()} rotate-key {key.api_key_id} --if-overlapping replace-newer`."
        ) from None
