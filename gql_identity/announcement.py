"""What commands say of the database that they work on, and `serve` of its addresses and the first key."""

import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from .command import own_command
from .issuers import OpenIDIssuer
from .keys.credentials import Credentials
from .keys.imported_jwts import EXTRA, has_library
from .keys.keys_left import keys_left
from .keys.validity import is_valid
from .logs import are_json
from .messages.keys import APIKeyInfo
from .messages.values import instant_text
from .settings import Settings
from .storage.connection_string import hosts_of
from .storage.database import Database
from .storage.sign_in_codes import SignInCodes
from .version import version

log = structlog.get_logger()


TOLD_KEYS = 1_000  # so many keys that are left under a pepper are counted at the start
PAGES = {"graphql": "GraphiQL", "console": "Console"}  # by their paths


class FirstKey(NamedTuple):
    """The key in the file admin-key."""

    is_valid: bool
    codes: Mapping[str, str] = {}  # new one-time codes for the links to the pages; empty where no link has one


async def find_first_key(settings: Settings, database: Database, pepper: str) -> FirstKey | None:
    """What became of the key in admin-key, and a code for it if it is valid; None where there is no such file."""
    file = settings.data_dir / "admin-key"
    if settings.mongo_uri is not None or not file.exists():
        return None
    secret = file.read_bytes().decode(errors="replace").strip()  # what is no text is no key
    key = await Credentials(database, settings).find(secret)
    if key is None or not is_valid(key):
        return FirstKey(False)
    if not (settings.shows_graphiql and sys.stdout.isatty()):
        return FirstKey(True)
    codes = SignInCodes(database, pepper)
    return FirstKey(True, {page: await codes.replace(page) for page in PAGES})


def place(settings: Settings) -> str:
    """Which database these settings mean, for a person to read: its folder, or its name and hosts; no secret."""
    if settings.mongo_uri is None:
        return f"embedded, its data in {settings.data_dir.resolve()}"
    name = Database(settings).name  # raises StartError for an address in which anything could be anywhere
    return f"{name} on your MongoDB at {hosts_of(settings.mongo_uri.get_secret_value())}"


def jwts_text(accepting: Mapping[str, datetime]) -> str:
    """For how many domains of Cloudforet JWTs are accepted, and until when."""
    domains = f"{len(accepting)} domain{'s' if len(accepting) > 1 else ''}"
    text = f"Cloudforet's JWTs are accepted for {domains} until {instant_text(max(accepting.values()))}"
    if (earliest := min(accepting.values())) != max(accepting.values()):
        text += f", for some until {instant_text(earliest)}"
    return text if has_library() else f"{text}; but install {EXTRA}, without which all of them are refused"


async def uses_of_peppers(database: Database) -> dict[str, str]:
    """What each pepper of a database and of the settings is used for, by its fingerprint."""
    required, forgotten = await database.meta_document.peppers(), await database.meta_document.forgotten_peppers()
    current, *retired = database.meta_document.accepted_peppers
    uses = {}
    for pepper in dict.fromkeys([*required, *retired, current, *forgotten]):
        if pepper == current:
            uses[pepper] = "current: keys are made with it" if pepper in required else "current, not used yet"
        elif pepper in retired:
            uses[pepper] = "retired: its keys move to the current one when used" if pepper in required else "accepted"
        elif pepper in required:
            uses[pepper] = "missing in the settings: its keys are not accepted, and serve does not start"
        else:
            uses[pepper] = "forgotten: its keys are not accepted"
    return uses


async def peppers_text(database: Database) -> list[str]:
    """The peppers beside the current one, with the keys that are left under each; none where there is no other one."""
    current, *retired = database.meta_document.accepted_peppers
    if not retired:
        return []
    uses = await uses_of_peppers(database)
    left = {pepper: await keys_left(database, pepper, TOLD_KEYS, TOLD_KEYS) for pepper in retired}
    return [f"{current}  {uses[current]}", *(f"{pepper}  {uses[pepper]}; {left[pepper]}" for pepper in retired)]


def announce(
    settings: Settings,
    listener: socket.socket,
    metrics_listener: socket.socket | None,
    made: APIKeyInfo | None,
    first_key: FirstKey | None,
    accepting: Mapping[str, datetime],
    peppers: Sequence[str],
) -> str:
    """What `serve` prints when it listens. `made` is the first key if it was just made: its secret is shown once.

    `accepting` are the domains of Cloudforet whose JWTs are accepted, with their dates; `peppers` are lines.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    lines = [f"API       {url}/graphql"]
    if settings.shows_graphiql:
        codes = first_key.codes if first_key else {}
        for path, page in PAGES.items():
            link = f"#code={codes[path]}" if path in codes else " in a browser"
            lines.append(f"{page:<10}{url}/{path}{link}")
    lines.append(f"Database  {place(settings)}")
    if metrics_listener is not None:
        lines.append(f"Metrics   http://{host}:{metrics_listener.getsockname()[1]}/metrics")
    if first_key is not None:
        lines.append(f"Key       {settings.data_dir.resolve() / 'admin-key'}")
        if not first_key.is_valid:
            lines.append(f"          is not valid any more: create another with `{own_command()} create-key`")
    lines += [f"Pepper    {line}" for line in peppers]
    if accepting:
        lines.append(f"JWTs      {jwts_text(accepting)}")
    if made is not None and sys.stdout.isatty():  # redirected output is often stored
        lines.append(f"          {made.api_key}")
    return "\n".join(lines)


def log_start(settings: Settings, listener: socket.socket) -> None:
    """Log that the service starts, with its version and its settings; secrets are replaced by asterisks.

    JSON has all settings, a terminal those that are not the default.
    """
    host, port, *_ = listener.getsockname()
    log.info(
        "starting",
        version=version(),
        listens_on=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        database=place(settings),
        settings={
            name: _shown(getattr(settings, name))
            for name, field in Settings.model_fields.items()
            if are_json() or getattr(settings, name) != field.default
        },
    )


def _shown(value: Any) -> Any:
    """A setting as JSON; a secret's text is asterisks."""
    if isinstance(value, tuple):
        return [one.model_dump(exclude_defaults=True) if isinstance(one, OpenIDIssuer) else str(one) for one in value]
    return value if value is None or isinstance(value, int | float) else str(value)
