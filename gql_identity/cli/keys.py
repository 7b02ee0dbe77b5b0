"""The commands `keys list`, `show`, `disable`, `enable` and `delete`: for operators, without a key of their own."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..command import own_command
from ..errors import FailedPrecondition, NotFound
from ..keys.access import COMMAND_LINE
from ..keys.api_keys import ApiKeys
from ..keys.every_domain import count_keys, get_key, keys_of, pepper_is_lost
from ..keys.records import now
from ..keys.system_keys import is_system_key_left
from ..keys.writes import not_found
from ..logs import redact
from ..messages.keys import APIKeyInfo
from ..messages.requests import APIKeyRequest
from ..messages.values import APIKeyRole, APIKeyState, instant_text
from ..settings import Settings
from ..storage.database import Database
from ..web.json_messages import message_of, plain
from .arguments import Commands, add_database_flags, agrees, settings_of
from .databases import prepared_database, resolved_database

READ_SECONDS = 60.0  # for a page of keys; a request would not wait so long


async def _enable(api_keys: ApiKeys, request: APIKeyRequest) -> Any:
    return message_of(await api_keys.enable(request, COMMAND_LINE))


async def _disable(api_keys: ApiKeys, request: APIKeyRequest) -> Any:
    return message_of(await api_keys.disable(request, COMMAND_LINE))


async def _delete(api_keys: ApiKeys, request: APIKeyRequest) -> Any:
    await api_keys.delete(request, COMMAND_LINE)
    return {"api_key_id": request.api_key_id, "domain_id": request.domain_id}


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    keys = commands.add_parser("keys", help="list, show, disable, enable or delete keys, also while the service runs")
    actions = keys.add_subparsers(required=True, metavar="ACTION")

    listed = actions.add_parser("list", help="list the keys of all domains, or of one, or of a user")
    listed.add_argument(
        "--pepper", metavar="FINGERPRINT", help="only keys that are left under this pepper, or `unknown`: see peppers"
    )
    listed.set_defaults(run=_list)
    shown = actions.add_parser("show", help="show one key")
    shown.add_argument("key_ids", metavar="KEY_ID", nargs=1, help="the key's public id")
    shown.set_defaults(run=_show)
    for name, change, done, told in (
        ("disable", _disable, "disabled", "make keys invalid until they are enabled"),
        ("enable", _enable, "enabled", "make disabled keys valid again"),
        ("delete", _delete, "deleted", "remove keys for good"),
    ):
        changed = actions.add_parser(name, help=f"{told}: those named, or all of a domain or of a user of it")
        changed.add_argument("key_ids", metavar="KEY_ID", nargs="*", help="the public id of a key")
        changed.add_argument("--yes", action="store_true", help="do not ask")
        changed.set_defaults(run=_change, change=change, done=done)
    for action in actions.choices.values():
        action.add_argument("--domain-id", help="only keys of this domain")
        action.add_argument("--user-id", help="only keys of this user")
        action.add_argument("--json", action="store_true", help="print each key as an APIKeyInfo message, one a line")
        add_database_flags(action)


def _list(options: argparse.Namespace) -> int:
    async def show(database: Database, _: Settings) -> int:
        if not options.json:
            print(_row("ID", "STATE", "ROLE", "LAST USED", "DOMAIN", "USER", "NAME"))
        async for key in keys_of(database, options.domain_id, options.user_id, options.pepper):
            print(_json(message_of(key)) if options.json else _row(*_columns(key)))
        return 0

    return _run(options, show)


def _show(options: argparse.Namespace) -> int:
    async def show(database: Database, _: Settings) -> int:
        key = await get_key(database, options.key_ids[0], options.domain_id, options.user_id)
        message = message_of(key)
        if options.json:
            print(_json(message))
            return 0
        del message["api_key"]  # the secret, which is not stored
        for name, value in message.items():
            print(f"{name.replace('_', ' ')}:".ljust(19) + _shown(name, value))
        if pepper_is_lost(key):
            print("pepper:".ljust(19) + "lost: the settings lack it, so no secret of this key is accepted")
        return 0

    return _run(options, show)


# What is meant where a key has no such list, which is the opposite of an empty one.
_WITHOUT_A_LIST = {"scopes": "all of its role", "allowed_addresses": "any"}


def _shown(name: str, value: Any) -> str:
    if value is None:
        return _WITHOUT_A_LIST.get(name, "")
    if value == []:
        return "none"
    return _printable(value if isinstance(value, str) else _json(value).strip('"'))


def _change(options: argparse.Namespace) -> int:
    if not options.key_ids and options.domain_id is None:
        # Users of different domains may have the same id.
        print(f"gql-identity: give ids of keys, or {_OWNERS}.", file=sys.stderr)
        return 2

    async def change(database: Database, settings: Settings) -> int:
        asks = not options.yes and (options.done == "deleted" or not options.key_ids)
        selected = redact(", ".join(options.key_ids))
        if not options.key_ids:
            count = await count_keys(database, options.domain_id, options.user_id)
            if not count:
                print(
                    f"gql-identity: nothing was {options.done}: there is no key of {_owner(options)}.", file=sys.stderr
                )
                return 1
            selected = f"{_number(count)} of {_owner(options)}"
        if asks and not agrees(f"To be {options.done}: {selected}."):
            return 1
        return await _change_all(database, ApiKeys(database, settings), options)

    return _run(options, change)


_OWNERS = "--domain-id for all keys of a domain, with --user-id for those of one of its users"


def _owner(options: argparse.Namespace) -> str:
    user = "" if options.user_id is None else f"user {options.user_id} of "
    return f"{user}domain {options.domain_id}"


def _number(count: int) -> str:
    return "the only key" if count == 1 else f"all {count} keys"


async def _change_all(database: Database, api_keys: ApiKeys, options: argparse.Namespace) -> int:
    """Change key after key, and go on where one is missing or cannot be changed; the exit code."""
    code, ended_system_key = 0, False
    async for key_id, key in _selected(database, options):
        try:
            if key is None:
                raise not_found()
            request = APIKeyRequest(api_key_id=key.api_key_id, domain_id=key.domain_id)
            message = await options.change(api_keys, request)
        except (NotFound, FailedPrecondition) as error:
            print(f"{redact(key_id)}: {error.message}", file=sys.stderr)
            code = 1
            continue
        ended_system_key |= key.role is APIKeyRole.SYSTEM and options.done != "enabled"
        print(_json(message) if options.json else f"{key_id} {options.done}", flush=True)
    if ended_system_key and not await is_system_key_left(database, now()):
        print(
            "No valid key of role SYSTEM that may change keys is left. "
            f"Make one with `{own_command()} create-key --role SYSTEM`.",
            file=sys.stderr,
        )
    return code


async def _selected(database: Database, options: argparse.Namespace) -> AsyncIterator[tuple[str, APIKeyInfo | None]]:
    """The keys that are named, each None if there is no such key; or all of a domain and user."""
    owner = options.domain_id, options.user_id
    for key_id in dict.fromkeys(options.key_ids):
        try:
            yield key_id, await get_key(database, key_id, *owner)
        except NotFound:
            yield key_id, None
    if not options.key_ids:
        async for key in keys_of(database, *owner):
            yield key.api_key_id, key


def _run(options: argparse.Namespace, run: Callable[[Database, Settings], Awaitable[int]]) -> int:
    async def connected(settings: Settings) -> int:
        async with prepared_database(settings) as database:
            return await run(database, settings)

    with resolved_database(settings_of(options), join=True) as resolved:
        return asyncio.run(connected(resolved.model_copy(update={"database_timeout_seconds": READ_SECONDS})))


def _columns(key: APIKeyInfo) -> tuple[str, ...]:
    state = key.state.name
    if key.state is APIKeyState.ENABLED:
        state = "LOST" if pepper_is_lost(key) else "EXPIRED" if key.expired else state
    used = "never" if key.last_accessed_at is None else instant_text(key.last_accessed_at)
    return key.api_key_id, state, key.role.name, used, key.domain_id, key.user_id, key.name or ""


def _row(*columns: str) -> str:
    return "  ".join(_printable(text).ljust(width) for text, width in zip(columns, _WIDTHS, strict=True)).rstrip()


_WIDTHS = (40, 8, 12, 24, 12, 12, 0)


def _printable(text: str) -> str:
    # Names are as their makers chose them: some characters would change what the terminal shows.
    return "".join(character if character.isprintable() else "?" for character in text)


def _json(value: Any) -> str:
    return json.dumps(value, default=plain)
