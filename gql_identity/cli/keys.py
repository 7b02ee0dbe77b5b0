"""The command `create-key`."""

import argparse
import asyncio
import json
from datetime import timedelta

from strawberry import ID

from ..keys.api_keys import ApiKeys
from ..keys.records import now
from ..messages.keys import APIKeyInfo
from ..messages.requests import CreateAPIKeyRequest
from ..messages.values import APIKeyRole, DateTime
from ..settings import Settings
from ..web.json_messages import message_of, plain
from .arguments import Commands, add_setting_flags, settings_of
from .databases import prepared_database, resolved_database


def add_commands(commands: Commands) -> None:
    """Add the command."""
    create = commands.add_parser("create-key", help="create a key, also while the service runs")
    create.add_argument("--domain-id", required=True, help="the domain of the key's user")
    create.add_argument("--user-id", required=True, help="the user that the key is for")
    create.add_argument("--role", choices=[role.name for role in APIKeyRole], default=APIKeyRole.USER.name)
    create.add_argument("--name", help="the key's name")
    create.add_argument(
        "--expires-in", metavar="TIME", type=_expires_in, help="after how long it ends, as in 90d, 12h or 30m"
    )
    create.add_argument(
        "--scope", action="append", dest="scopes", help="what it may be used for; may be given several times"
    )
    create.add_argument("--json", action="store_true", help="print the key as an APIKeyInfo message")
    add_setting_flags(create, "mongo_uri", "data_dir")
    create.set_defaults(run=_create_key)


_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _expires_in(text: str) -> DateTime:
    """The instant that lies so far ahead, as in `90d`; raises ArgumentTypeError."""
    try:
        return DateTime(now() + timedelta(**{_UNITS[text[-1:]]: int(text[:-1])}))
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError("give a number of days, hours or minutes, as in 90d, 12h or 30m") from None


def _create_key(options: argparse.Namespace) -> int:
    async def create(settings: Settings) -> APIKeyInfo:
        request = CreateAPIKeyRequest(
            user_id=ID(options.user_id),
            domain_id=ID(options.domain_id),
            name=options.name,
            role=APIKeyRole[options.role],
            expires_at=options.expires_in,
            scopes=options.scopes,
        )
        async with prepared_database(settings) as database:
            return await ApiKeys(database, settings).create(request, None)

    with resolved_database(settings_of(options), join=True) as resolved:
        key = asyncio.run(create(resolved))
    if options.json:
        print(json.dumps(message_of(key), default=plain))
    else:
        print(f"{key.api_key_id}, role {key.role.name}, for user {key.user_id} of domain {key.domain_id}.")
        print(f"Its secret, shown only once:\n{key.api_key}")
    return 0
