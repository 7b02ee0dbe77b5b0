"""The commands: serve, schema, create-key, create-indexes, peppers, forget-pepper."""

import argparse
import asyncio
import importlib.metadata
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from strawberry import ID

from .announcement import FirstKey, announce, find_first_key, place
from .app import create_app
from .command import own_command
from .errors import DeadlineExceeded, ServiceError, StartError, Unavailable
from .keys.api_keys import ApiKeys
from .keys.rates import Rates
from .keys.records import now
from .logs import configure_logs
from .messages.keys import APIKeyInfo
from .messages.requests import CreateAPIKeyRequest
from .messages.values import APIKeyRole, DateTime
from .schema.federation import schema, subgraph_sdl
from .secret import pepper_fingerprint
from .server.listener import listen, raise_file_limit
from .server.process import end_with_parent, serve
from .settings import Settings, forget_environment, load_settings
from .storage.data_directory import get_pepper, has_database, write_admin_key
from .storage.database import Database
from .storage.embedded import EmbeddedDatabase, running_uri
from .web.json_messages import message_of, plain

INDEXES_SECONDS = 24 * 3600.0
_PACKAGE = "gql-identity"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0 on success, 1 on failure and 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
    except (StartError, ServiceError) as error:
        print(f"gql-identity: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gql-identity", description="API keys as a GraphQL service.")
    parser.add_argument("--version", action="version", version=f"gql-identity {importlib.metadata.version(_PACKAGE)}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serving = commands.add_parser("serve", help="serve the API; without --mongo-uri, from an embedded database")
    _add_flags(serving, "host", "port", "workers", "mongo_uri", "data_dir")
    serving.set_defaults(run=_serve)

    exported = commands.add_parser("schema", help="print the schema")
    exported.add_argument("--subgraph", action="store_true", help="print the subgraph schema, `_service.sdl`")
    exported.add_argument("--check", type=Path, metavar="FILE", help="only check that FILE equals the schema")
    exported.set_defaults(run=_schema)

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
    _add_flags(create, "mongo_uri", "data_dir")
    create.set_defaults(run=_create_key)

    indexes = commands.add_parser("create-indexes", help="create missing indexes on your own database")
    _add_flags(indexes, "mongo_uri", "data_dir")
    indexes.set_defaults(run=_create_indexes)

    listed = commands.add_parser("peppers", help="list the peppers of the database and of the settings")
    _add_flags(listed, "mongo_uri", "data_dir")
    listed.set_defaults(run=_peppers)

    forget = commands.add_parser(
        "forget-pepper", help="stop requiring a retired pepper; keys not used since it was retired become invalid"
    )
    forget.add_argument("fingerprint", help="the pepper's fingerprint, as the command peppers prints it")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    _add_flags(forget, "mongo_uri", "data_dir")
    forget.set_defaults(run=_forget_pepper)
    return parser


_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _expires_in(text: str) -> DateTime:
    """The instant that lies so far ahead, as in `90d`; raises ArgumentTypeError."""
    try:
        return DateTime(now() + timedelta(**{_UNITS[text[-1:]]: int(text[:-1])}))
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError("give a number of days, hours or minutes, as in 90d, 12h or 30m") from None


def _add_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        field = Settings.model_fields[name]
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"setting_{name}",
            metavar=name.rpartition("_")[2].upper(),
            help=f"{field.description}{default}",
        )


def _settings(options: argparse.Namespace) -> Settings:
    flags = {name[8:]: value for name, value in vars(options).items() if name.startswith("setting_")}
    settings = load_settings(**flags)
    configure_logs(settings.log_level, settings.log_format)
    return settings


def _serve(options: argparse.Namespace) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_before_serving)
    settings = _settings(options)
    forget_environment()
    raise_file_limit()
    with listen(settings.host, settings.port) as listener, _database(settings) as resolved:
        try:
            made = asyncio.run(_prepare(resolved, embedded=settings.mongo_uri is None))
            first_key = asyncio.run(_first_key(settings, resolved))
            asyncio.run(Rates(resolved).try_store())
        except (Unavailable, DeadlineExceeded) as error:
            print(f"The database does not respond yet: {error} Starting anyway.", file=sys.stderr)
            made = first_key = None
        print(announce(settings, listener, made, first_key), flush=True)
        return _run(resolved, listener)


def _stop_before_serving(*_: object) -> None:
    raise SystemExit(0)


def _run(settings: Settings, listener: socket.socket) -> int:
    # Other processes of this user can read the environment, so worker processes get the settings through a pipe.
    make = create_app if settings.workers == 1 else create_worker_app
    arguments = (settings,) if settings.workers == 1 else (settings, os.getpid())
    return serve(
        partial(make, *arguments),
        listener,
        settings.workers,
        max_connections=settings.max_connections,
        keep_alive_seconds=settings.keep_alive_seconds,
        shutdown_delay_seconds=settings.shutdown_delay_seconds,
    )


def create_worker_app(settings: Settings, parent: int) -> Any:
    """The application of a worker process, which ends when its parent does."""
    end_with_parent(parent)
    configure_logs(settings.log_level, settings.log_format)
    return create_app(settings)


@contextmanager
def _database(settings: Settings, *, join: bool = False) -> Iterator[Settings]:
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


async def _prepare(settings: Settings, *, embedded: bool) -> APIKeyInfo | None:
    """Prepare the database. Create the first key in an embedded database without keys and return it, else None."""
    async with Database(settings) as database:
        await database.prepare(own_indexes=embedded)
        if not embedded or await database.run(lambda: database.api_keys.find_one({}, {"_id": 1})) is not None:
            return None
        request = CreateAPIKeyRequest(
            user_id=ID("admin"), domain_id=ID("default"), name="first key", role=APIKeyRole.SYSTEM
        )
        key = await ApiKeys(database, settings).create(request, None)
    write_admin_key(settings.data_dir, str(key.api_key))
    return key


async def _first_key(settings: Settings, resolved: Settings) -> FirstKey | None:
    async with _prepared(resolved) as database:
        return await find_first_key(
            settings.model_copy(update={"pepper": resolved.pepper}), database, resolved.peppers[0]
        )


def _schema(options: argparse.Namespace) -> int:
    text = (subgraph_sdl(schema) if options.subgraph else schema.as_str()) + "\n"
    if options.check is None:
        print(text, end="")
        return 0
    if options.check.exists() and options.check.read_text() == text:
        return 0
    command = f"{own_command()} schema{' --subgraph' if options.subgraph else ''}"
    print(f"{options.check} differs from the schema. Regenerate it with `{command}`.", file=sys.stderr)
    return 1


@asynccontextmanager
async def _prepared(settings: Settings) -> AsyncIterator[Database]:
    async with Database(settings) as database:
        await database.prepare()
        yield database


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
        async with _prepared(settings) as database:
            return await ApiKeys(database, settings).create(request, None)

    with _database(_settings(options), join=True) as resolved:
        key = asyncio.run(create(resolved))
    if options.json:
        print(json.dumps(message_of(key), default=plain))
    else:
        print(f"{key.api_key_id}, role {key.role.name}, for user {key.user_id} of domain {key.domain_id}.")
        print(f"Its secret, shown only once:\n{key.api_key}")
    return 0


def _create_indexes(options: argparse.Namespace) -> int:
    async def create(settings: Settings) -> None:
        async with Database(settings) as database:
            await database.create_indexes()

    with _database(_settings(options), join=True) as resolved:
        # Building indexes on a large collection may take hours.
        asyncio.run(create(resolved.model_copy(update={"database_timeout_seconds": INDEXES_SECONDS})))
    print("All indexes exist.")
    return 0


def _peppers(options: argparse.Namespace) -> int:
    async def known(settings: Settings) -> list[str]:
        async with Database(settings) as database:
            return await database.meta_document.peppers()

    with _database(_settings(options), join=True) as resolved:
        current, *retired = [pepper_fingerprint(pepper) for pepper in resolved.peppers]
        required = asyncio.run(known(resolved))
    for fingerprint in dict.fromkeys([*required, *retired, current]):
        if fingerprint == current:
            use = "current: keys are made with it" if fingerprint in required else "current, not used yet"
        elif fingerprint in retired:
            use = "retired: its keys move to the current one when used" if fingerprint in required else "accepted"
        else:
            use = "missing in the settings: its keys are not accepted, and serve does not start"
        print(f"{fingerprint}  {use}")
    return 0


def _forget_pepper(options: argparse.Namespace) -> int:
    async def forget(settings: Settings) -> bool:
        async with Database(settings) as database:
            return await database.meta_document.forget_pepper(options.fingerprint)

    with _database(_settings(options), join=True) as resolved:
        if not options.yes and not _agrees(
            f"Keys that were not used since the pepper {options.fingerprint} was retired become invalid for good."
        ):
            return 1
        known = asyncio.run(forget(resolved))
    print(
        f"The pepper {options.fingerprint} is no longer required."
        if known
        else "The database has no pepper with this fingerprint."
    )
    return 0 if known else 1


def _agrees(warning: str) -> bool:
    print(warning, file=sys.stderr)
    if not sys.stdin.isatty():
        print("Nothing was done. If that is meant, say --yes.", file=sys.stderr)
        return False
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
