"""The commands: serve, schema, create-key, create-indexes, forget-pepper."""

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from strawberry import ID

from .app import create_app
from .errors import DeadlineExceeded, ServiceError, StartError, Unavailable
from .keys.api_keys import ApiKeys
from .logs import configure_logs
from .messages.keys import APIKeyInfo
from .messages.requests import CreateAPIKeyRequest
from .messages.values import APIKeyRole
from .schema.federation import schema
from .server.process import serve
from .settings import RESOLVED, Settings, load_settings
from .storage.database import Database
from .storage.embedded import EmbeddedDatabase, end_with_parent, running_uri
from .web.json_messages import message_of, plain

if sys.platform != "win32":
    import resource

INDEXES_SECONDS = 24 * 3600.0
MOST_FILES = 65_536
_PARENT = "GQL_IDENTITY_PARENT"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0, with 1 where it fails, with 2 where it was misspelled."""
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
    except (StartError, ServiceError) as error:
        print(f"gql-identity: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gql-identity", description="API keys as a GraphQL service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serving = commands.add_parser("serve", help="serve the API; without --mongo-uri on an embedded database")
    _add_flags(serving, "host", "port", "workers", "mongo_uri", "data_dir")
    serving.set_defaults(run=_serve)

    exported = commands.add_parser("schema", help="print the schema")
    exported.add_argument("--check", type=Path, metavar="FILE", help="only tell whether FILE holds it")
    exported.set_defaults(run=_schema)

    create = commands.add_parser("create-key", help="make a key, also while the service runs")
    create.add_argument("--domain-id", required=True, help="the domain of the key's user")
    create.add_argument("--user-id", required=True, help="the user that the key is for")
    create.add_argument("--role", choices=[role.name for role in APIKeyRole], default=APIKeyRole.USER.name)
    create.add_argument("--name", help="what to call it")
    create.add_argument("--json", action="store_true", help="print the seed's APIKeyInfo message")
    _add_flags(create, "mongo_uri", "data_dir")
    create.set_defaults(run=_create_key)

    indexes = commands.add_parser("create-indexes", help="make the indexes that a database of your own lacks")
    _add_flags(indexes, "mongo_uri", "data_dir")
    indexes.set_defaults(run=_create_indexes)

    forget = commands.add_parser("forget-pepper", help="stop asking for a retired pepper; its unused keys are lost")
    forget.add_argument("fingerprint", help="the pepper's fingerprint, as the service names it")
    _add_flags(forget, "mongo_uri", "data_dir")
    forget.set_defaults(run=_forget_pepper)
    return parser


def _add_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        field = Settings.model_fields[name]
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"setting_{name}", help=field.description)


def _settings(options: argparse.Namespace) -> Settings:
    flags = {name[8:]: value for name, value in vars(options).items() if name.startswith("setting_")}
    settings = load_settings(**flags)
    configure_logs(settings.log_level, settings.log_format)
    return settings


def _serve(options: argparse.Namespace) -> int:
    # uvicorn raises the signal again when it has stopped: these take it then, so that the rest of the stop runs.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_before_serving)
    settings = _settings(options)
    _allow_many_connections()
    with _listen(settings) as listener, _database(settings) as resolved:
        try:
            first_key = asyncio.run(_prepare(resolved, embedded=settings.mongo_uri is None))
        except (Unavailable, DeadlineExceeded) as error:
            print(f"The database does not answer yet: {error} Serving all the same.", file=sys.stderr)
            first_key = None
        _announce(settings, resolved, listener, first_key)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        return _run(resolved, listener)


def _allow_many_connections() -> None:
    # Each is an open file, of which systems give a process 1,024 until it asks for more.
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MOST_FILES), most))


def _stop_before_serving(*_: object) -> None:
    raise SystemExit(0)


def _run(settings: Settings, listener: socket.socket) -> int:
    os.environ[RESOLVED] = settings.to_json()
    os.environ[_PARENT] = str(os.getpid())
    app = create_app if settings.workers == 1 else "gql_identity.cli:create_worker_app"
    return serve(app, listener, settings.workers)


def create_worker_app() -> Any:
    """The application of one of several worker processes, which ends when the parent does."""
    end_with_parent(int(os.environ[_PARENT]))
    return create_app()


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket; raises StartError where the address is not to be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"--host {settings.host}: {error.strerror}.") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            # From here on the port is ours beyond doubt, and whoever connects waits for the first worker.
            listener.listen(2048)
        except OSError as error:
            raise StartError(
                f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. Choose another with --port."
            ) from None
        yield listener


@contextmanager
def _database(settings: Settings, *, join: bool = False) -> Iterator[Settings]:
    """The settings with a database's URI and pepper: the user's own, or the embedded one, started for as long.

    With `join`, an embedded database that a running service holds is used as it is.
    """
    if settings.mongo_uri is not None:
        yield settings
        return
    if join and (uri := running_uri(settings.data_dir)) is not None:
        yield _with_database(settings, uri)
        return
    with EmbeddedDatabase(settings.data_dir) as embedded:
        yield _with_database(settings, embedded.uri)


def _with_database(settings: Settings, uri: str) -> Settings:
    pepper = settings.pepper or SecretStr(_own_pepper(settings.data_dir / "pepper"))
    return settings.model_copy(update={"mongo_uri": SecretStr(uri), "pepper": pepper})


def _own_pepper(file: Path) -> str:
    """The pepper of an embedded database, made at its first start."""
    with suppress(FileExistsError):
        _write_secret(file, secrets.token_hex(32))
    return file.read_text().strip()


def _write_secret(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text + "\n")
        opened.flush()
        os.fsync(descriptor)


async def _prepare(settings: Settings, *, embedded: bool) -> APIKeyInfo | None:
    """Prepare the database; answers the first key where an embedded database had none."""
    async with Database(settings) as database:
        await database.prepare(own_indexes=embedded)
        if not embedded or await database.run(lambda: database.api_keys.find_one({}, {"_id": 1})) is not None:
            return None
        request = CreateAPIKeyRequest(
            user_id=ID("admin"), domain_id=ID("default"), name="first key", role=APIKeyRole.SYSTEM
        )
        key = await ApiKeys(database, settings).create(request, None)
    file = settings.data_dir / "admin-key"
    file.unlink(missing_ok=True)
    _write_secret(file, str(key.api_key))
    return key


def _announce(settings: Settings, resolved: Settings, listener: socket.socket, first_key: APIKeyInfo | None) -> None:
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}/graphql"
    embedded = settings.mongo_uri is None
    file = settings.data_dir.resolve() / "admin-key"
    # A secret is shown to a person alone: what is printed elsewhere is often kept.
    key = file.read_text().strip() if embedded and sys.stdout.isatty() and file.exists() else None
    lines = [f"API       {url}"]
    if settings.shows_graphiql:
        lines.append(f"GraphiQL  {url}{f'#key={key}' if key else ' in a browser'}")
    if embedded:
        lines.append(f"Database  embedded, its data in {file.parent}")
        lines.append(f"Key       {file}")
        if first_key is not None and key is not None:
            lines.append(f"          {key}")
    else:
        lines.append(f"Database  {Database(resolved).name} on your MongoDB")
    print("\n".join(lines), flush=True)


def _schema(options: argparse.Namespace) -> int:
    text = schema.as_str() + "\n"
    if options.check is None:
        print(text, end="")
        return 0
    if options.check.exists() and options.check.read_text() == text:
        return 0
    print(f"{options.check} is not the schema: write it anew with `gql-identity schema`.", file=sys.stderr)
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
        )
        async with _prepared(settings) as database:
            return await ApiKeys(database, settings).create(request, None)

    with _database(_settings(options), join=True) as resolved:
        key = asyncio.run(create(resolved))
    if options.json:
        print(json.dumps(message_of(key), default=plain))
    else:
        print(f"{key.api_key_id}, role {key.role.name}, for user {key.user_id} of domain {key.domain_id}.")
        print(f"Its secret, shown now and never again:\n{key.api_key}")
    return 0


def _create_indexes(options: argparse.Namespace) -> int:
    async def create(settings: Settings) -> None:
        async with Database(settings) as database:
            await database.create_indexes()

    with _database(_settings(options), join=True) as resolved:
        # On a large collection they take as long as they take.
        asyncio.run(create(resolved.model_copy(update={"database_timeout_seconds": INDEXES_SECONDS})))
    print("The indexes stand.")
    return 0


def _forget_pepper(options: argparse.Namespace) -> int:
    async def forget(settings: Settings) -> bool:
        async with Database(settings) as database:
            return await database.forget_pepper(options.fingerprint)

    with _database(_settings(options), join=True) as resolved:
        known = asyncio.run(forget(resolved))
    print(f"The pepper {options.fingerprint} is forgotten." if known else "The database knows no such pepper.")
    return 0 if known else 1
