"""The database of a command: your own, that of a running service, or the embedded one, started for the command."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pydantic import SecretStr

from ..announcement import place
from ..command import own_command
from ..errors import StartError
from ..settings import Settings
from ..storage.data_directory import get_pepper, has_database
from ..storage.database import Database
from ..storage.embedded import EmbeddedDatabase, running_uri


@contextmanager
def resolved_database(settings: Settings, *, join: bool = False) -> Iterator[Settings]:
    """Yield the settings with the database's URI and pepper. An embedded database runs until the block ends.

    With `join`, for commands beside the service: say which database it is, require that it exists, and use that of a
    service that is already running, if there is one.
    """
    if join:
        print(f"Database  {place(settings)}", file=sys.stderr)
    if settings.mongo_uri is not None:
        yield settings
        return
    if join and not has_database(settings.data_dir):
        # Otherwise a command in another folder would make a second database, and a key of that.
        raise StartError(
            f"There is no embedded database in {settings.data_dir.resolve()}. `{own_command()} serve` makes one; "
            "to use another, give its directory with --data-dir, or --mongo-uri."
        )
    if join and (uri := running_uri(settings.data_dir)) is not None:
        yield _with_database(settings, uri)
        return
    with EmbeddedDatabase(settings.data_dir, own_pepper=settings.pepper is None) as embedded:
        yield _with_database(settings, embedded.uri)


def _with_database(settings: Settings, uri: str) -> Settings:
    pepper = settings.pepper or SecretStr(get_pepper(settings.data_dir))
    return settings.model_copy(update={"mongo_uri": SecretStr(uri), "pepper": pepper})


@asynccontextmanager
async def prepared_database(settings: Settings) -> AsyncIterator[Database]:
    """Yield a connection to a database that is prepared."""
    async with Database(settings) as database:
        await database.prepare()
        yield database
