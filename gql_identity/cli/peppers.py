"""The commands `peppers` and `forget-pepper`."""

import argparse
import asyncio
import sys

from ..announcement import uses_of_peppers
from ..command import own_command
from ..errors import StartError
from ..keys.keys_left import KeysLeft, keys_left
from ..settings import Settings
from ..storage.database import Database
from .arguments import Commands, add_database_flags, agrees, settings_of
from .databases import resolved_database

COUNT_SECONDS = 60.0  # for a million keys; a request would not wait so long


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    listed = commands.add_parser("peppers", help="list the peppers of the database and of the settings, and their keys")
    listed.set_defaults(run=_peppers)

    forget = commands.add_parser(
        "forget-pepper", help="stop requiring a retired pepper, once no keys are left under it"
    )
    forget.add_argument(
        "fingerprint", metavar="FINGERPRINT", help="the pepper's fingerprint, as the command peppers prints it"
    )
    forget.add_argument("--yes", action="store_true", help="do not ask")
    forget.add_argument("--force", action="store_true", help="also if keys are left, which become invalid for good")
    forget.set_defaults(run=_forget_pepper)
    for command in (listed, forget):
        add_database_flags(command)


def _peppers(options: argparse.Namespace) -> int:
    async def list_(settings: Settings) -> None:
        async with Database(settings) as database:
            await database.check_server()
            uses = await uses_of_peppers(database)
            try:
                await database.check_pepper_index()
                counts = {pepper: f"; {await keys_left(database, pepper)}" for pepper in uses}
                unknown = await keys_left(database, None)
            except StartError as error:
                print(f"Keys were not counted. {error}", file=sys.stderr)
                counts, unknown = dict.fromkeys(uses, ""), KeysLeft(0)
        for pepper, use in uses.items():
            print(f"{pepper}  {use}{counts[pepper]}")
        if unknown.number:
            print(f"{'unknown':16}  {_UNKNOWN}; {unknown}")

    with resolved_database(settings_of(options), join=True) as resolved:
        asyncio.run(list_(_patient(resolved)))
    return 0


_UNKNOWN = "not used since an older version stored them, which noted no fingerprint"


def _forget_pepper(options: argparse.Namespace) -> int:
    pepper = options.fingerprint

    async def forget(settings: Settings) -> bool:
        async with Database(settings) as database:
            await database.check_server()
            await database.meta_document.check_forgettable(pepper)
            await database.check_pepper_index()
            left, unknown = await keys_left(database, pepper), await keys_left(database, None)
            told = _told(pepper, left, unknown)
            if told and not options.force:
                told.append("Nothing was done. Have them used, rotate or delete them; or lose them with --force.")
                print("\n".join(told), file=sys.stderr)
                return False
            told.append("They become invalid for good." if told else f"No key is left under the pepper {pepper}.")
            if not options.yes and not agrees("\n".join(told)):
                return False
            await database.meta_document.forget_pepper(pepper)
            return True

    with resolved_database(settings_of(options), join=True) as resolved:
        if not asyncio.run(forget(_patient(resolved))):
            return 1
    print(f"The pepper {pepper} is no longer required.")
    return 0


def _told(pepper: str, left: KeysLeft, unknown: KeysLeft) -> list[str]:
    """What is said of keys that are left, in lines."""
    lines = []
    if left.number:
        lines.append(
            f"Left under the pepper {pepper}: {left}. List them: `{own_command()} keys list --pepper {pepper}`."
        )
    if unknown.number:
        lines.append(
            f"Possibly under it, as {_UNKNOWN}: {unknown}. List them: `{own_command()} keys list --pepper unknown`."
        )
    return lines


def _patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_timeout_seconds": COUNT_SECONDS})
