"""The command `serve`."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from strawberry import ID

from ..announcement import FirstKey, announce, find_first_key, log_start, peppers_text
from ..app import check_app, create_app
from ..command import own_command
from ..environment import SettingsSource, forget_environment
from ..errors import DeadlineExceeded, ServiceError, StartError, Unavailable
from ..keys.api_keys import ApiKeys
from ..keys.rates import Rates
from ..keys.records import now
from ..logs import configure_logs, lost_line
from ..messages.keys import APIKeyInfo
from ..messages.requests import CreateAPIKeyRequest
from ..messages.values import APIKeyRole
from ..server.hangup import expect_hang_up
from ..server.listener import listen, raise_file_limit
from ..server.process import end_with_parent, serve
from ..server.standard_streams import keep_standard_streams
from ..settings import Settings
from ..storage.data_directory import write_admin_key
from ..storage.database import Database
from ..storage.jwt_issuers import accepted_until
from ..telemetry import begin_metrics, check_traces
from .arguments import Commands, add_setting_flags, settings_of, source_of
from .databases import resolved_database

log = structlog.get_logger()


def add_commands(commands: Commands) -> None:
    """Add the command."""
    serving = commands.add_parser("serve", help="serve the API; without --mongo-uri, from an embedded database")
    add_setting_flags(serving, "host", "port", "workers", "mongo_uri", "data_dir")
    serving.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_before_serving)
    expect_hang_up()
    keep_standard_streams(lost_line)
    settings, source = settings_of(options), source_of(options)
    forget_environment()
    raise_file_limit()
    check_traces(settings)
    with (
        listen(settings.host, settings.port) as listener,
        _metrics(settings) as (metrics_listener, metrics_directory),
        resolved_database(settings) as resolved,
    ):
        check_app(resolved)
        try:
            made, first_key, accepting, peppers = asyncio.run(_prepare(settings, resolved))
            asyncio.run(Rates(resolved).try_store())
        except (Unavailable, DeadlineExceeded) as error:
            log.warning("The database does not respond yet. Starting anyway.", reason=error.reason or error.message)
            made, first_key, accepting, peppers = None, None, {}, []
        print(announce(settings, listener, metrics_listener, made, first_key, accepting, peppers), flush=True)
        log_start(settings, listener)
        return _run(resolved, source, listener, metrics_directory)


@contextmanager
def _metrics(settings: Settings) -> Iterator[tuple[socket.socket | None, Path | None]]:
    """The metrics' socket, which serves them, and the directory of their counts; None where they are off."""
    if settings.metrics_port is None:
        yield None, None
        return
    if sys.platform == "win32":
        raise StartError("GQL_IDENTITY_METRICS_PORT works on Linux and macOS only.")
    from ..server.metrics_port import metrics_directory, serving_metrics

    advice = "Choose another by GQL_IDENTITY_METRICS_PORT."
    with listen(settings.host, settings.metrics_port, advice) as listener, metrics_directory() as directory:
        begin_metrics(directory, is_service=True, is_worker=settings.workers == 1)
        with serving_metrics(listener, directory):
            yield listener, directory


def _stop_before_serving(*_: object) -> None:
    raise SystemExit(0)


def _run(settings: Settings, source: SettingsSource, listener: socket.socket, metrics_directory: Path | None) -> int:
    # Other processes of this user can read the environment, so worker processes get the settings through a pipe.
    def app_with(settings: Settings) -> partial[Any]:
        if settings.workers == 1:
            return partial(create_app, settings, source.read_again)
        return partial(create_worker_app, settings, source, os.getpid(), metrics_directory)

    def app_read_again() -> partial[Any] | None:
        # All that a worker checks, as one that is replaced later must not begin with what the others have refused.
        try:
            found = source.read_again(settings)
            check_app(found)
            asyncio.run(_check_peppers(found))
        except (StartError, ServiceError) as error:
            log.error("the settings were not read again", reason=str(error))
            return None
        except Exception as error:  # of a file system, for one
            log.error("the settings were not read again", exc_info=error)
            return None
        configure_logs(found.log_level, found.log_format)
        return app_with(found)

    return serve(
        app_with(settings),
        listener,
        settings.workers,
        app_read_again,
        max_connections=settings.max_connections,
        trusted_proxies=settings.trusted_proxies,
        keep_alive_seconds=settings.keep_alive_seconds,
        shutdown_delay_seconds=settings.shutdown_delay_seconds,
    )


async def _check_peppers(settings: Settings) -> None:
    """Raise StartError where the database has keys under other peppers, ServiceError where it does not respond."""
    async with Database(settings) as database:
        await database.meta_document.check()


def create_worker_app(
    settings: Settings, source: SettingsSource, parent: int, metrics_directory: Path | None = None
) -> Any:
    """The application of a worker process, which ends when its parent does."""
    end_with_parent(parent)
    keep_standard_streams(lost_line)
    configure_logs(settings.log_level, settings.log_format)
    if metrics_directory is not None:
        begin_metrics(metrics_directory, is_service=False, is_worker=True)
    return create_app(settings, source.read_again)


async def _prepare(
    settings: Settings, resolved: Settings
) -> tuple[APIKeyInfo | None, FirstKey | None, dict[str, datetime], list[str]]:
    """Prepare the database. Return what is announced of it: the key made for an embedded database without keys, the
    key in admin-key, the domains whose JWTs are accepted, and the peppers if there are more than one.

    All over one connection: another one would cost as much as what is asked.
    """
    embedded = settings.mongo_uri is None
    async with Database(resolved) as database:
        await database.prepare(own_indexes=embedded)
        made = await _make_first_key(database, resolved) if embedded else None
        first_key = await find_first_key(
            settings.model_copy(update={"pepper": resolved.pepper}), database, resolved.peppers[0]
        )
        return made, first_key, await accepted_until(database, now()), await peppers_text(database)


async def _make_first_key(database: Database, settings: Settings) -> APIKeyInfo | None:
    """Create the first key of a database without keys, and write its secret to admin-key; None where there are keys."""
    if await database.run(lambda: database.api_keys.find_one({}, {"_id": 1})) is not None:
        return None
    request = CreateAPIKeyRequest(
        user_id=ID("admin"), domain_id=ID("default"), name="first key", role=APIKeyRole.SYSTEM
    )
    key = await ApiKeys(database, settings).create(request, None)
    try:
        write_admin_key(settings.data_dir, str(key.api_key))
    except OSError as error:
        raise StartError(
            f"The first key {key.api_key_id} was made, but its secret could not be written to "
            f"{settings.data_dir / 'admin-key'}: {error.strerror}. Mend that, then give the key another secret with "
            f"`{own_command()} rotate-key {key.api_key_id}`."
        ) from None
    return key
