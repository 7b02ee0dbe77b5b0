"""What several commands share: flags of settings, their reading, and a question."""

import argparse
import signal
import sys
from typing import Any, TypeAlias

from ..environment import SettingsSource, load_settings
from ..logs import configure_logs
from ..settings import Settings

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_setting_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the flags of these settings."""
    for name in names:
        field = Settings.model_fields[name]
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"setting_{name}",
            metavar=name.rpartition("_")[2].upper(),
            help=f"{field.description}{default}",
        )


def add_database_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a command that works beside a service or without one: which database it uses."""
    parser.add_argument(
        "--mongo-uri",
        dest="setting_mongo_uri",
        metavar="URI",
        help="The connection string of your MongoDB. Without it, the embedded database is used.",
    )
    parser.add_argument(
        "--data-dir",
        dest="setting_data_dir",
        metavar="DIR",
        help=f"The directory of the embedded database. (default: {Settings.model_fields['data_dir'].default})",
    )


def source_of(options: argparse.Namespace) -> SettingsSource:
    """What a command's settings are read from, its flags and the environment, to be read again later."""
    return SettingsSource.of(_flags(options))


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of the environment and a command's flags, which come first. Raises StartError for all mistakes."""
    settings = load_settings(**_flags(options))
    configure_logs(settings.log_level, settings.log_format)
    return settings


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    return {name[8:]: value for name, value in vars(options).items() if name.startswith("setting_")}


def agrees(warning: str) -> bool:
    """Whether somebody at a terminal agrees; elsewhere nobody is asked, and the answer is no.

    Raises KeyboardInterrupt.
    """
    print(warning, file=sys.stderr)
    if not sys.stdin.isatty():
        print("Nothing was done. To do it without being asked, add --yes.", file=sys.stderr)
        return False
    # On standard error, as the output may go to a file.
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    # asyncio would only note a first Ctrl-C, and the question would stay.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print("\nNothing was done.", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if not answer:  # Ctrl-D
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")
