"""Upkeep of a database: `create-indexes` and `rotate-signing-key`."""

import argparse
import asyncio

from ..errors import StartError
from ..settings import Settings
from ..storage.database import Database
from .arguments import Commands, add_database_flags, agrees, settings_of
from .databases import prepared_database, resolved_database

INDEXES_SECONDS = 24 * 3600.0


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    indexes = commands.add_parser("create-indexes", help="create missing indexes on your own database")
    add_database_flags(indexes)
    indexes.set_defaults(run=_create_indexes)

    rotate = commands.add_parser(
        "rotate-signing-key", help="make the next key that signs tokens; it signs in a day, once verifiers know it"
    )
    rotate.add_argument(
        "--now", action="store_true", help="it signs at once, and all others are withdrawn: one was stolen"
    )
    rotate.add_argument("--yes", action="store_true", help="do not ask")
    add_database_flags(rotate)
    rotate.set_defaults(run=_rotate_signing_key)


def _create_indexes(options: argparse.Namespace) -> int:
    async def create(settings: Settings) -> None:
        async with Database(settings) as database:
            await database.check_server()
            await database.create_indexes()

    with resolved_database(settings_of(options), join=True) as resolved:
        # Building indexes on a large collection may take hours.
        asyncio.run(create(resolved.model_copy(update={"database_timeout_seconds": INDEXES_SECONDS})))
    print("All indexes exist.")
    return 0


def _rotate_signing_key(options: argparse.Namespace) -> int:
    try:
        from ..tokens.signing_keys import SigningKeys
    except ImportError:
        raise StartError("This needs a library that makes keys: install gql-identity[tokens].") from None

    async def rotate(settings: Settings) -> str:
        async with prepared_database(settings) as database:
            made = await SigningKeys(database, settings).rotate(at_once=options.now)
        return f"{made.kid}  signs from {made.signs_from:%Y-%m-%d %H:%M} UTC"

    with resolved_database(settings_of(options), join=True) as resolved:
        if options.now and not options.yes and not agrees("All tokens of now are refused, once verifiers notice."):
            return 1
        print(asyncio.run(rotate(resolved)))
    return 0
