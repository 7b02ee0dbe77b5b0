"""Where settings are read from: the flags of a command, environment variables, files that variables name.

`GQL_IDENTITY_PEPPER_FILE` names a file that has the pepper, and so on for each setting that is not a path itself:
secrets are mounted as files, and show neither in the environment of a process nor in the definition of a container.
"""

import ctypes
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from .errors import StartError
from .settings import KUBERNETES_URL, LISTS, PREFIX, Settings

MAX_FILE_BYTES = 65_536
_NOT_SETTINGS = {f"{PREFIX}TEST_MONGO_URI"}
_FILE = "_FILE"
_FROM_FILES = {
    f"{PREFIX}{name.upper()}{_FILE}": name
    for name, field in Settings.model_fields.items()
    if "Path" not in str(field.annotation)
}
# What is read again while the service runs.
READ_AGAIN = ("pepper", "peppers_retired", "cors_origins", "log_level")


class SettingsSource(NamedTuple):
    """What the settings of a process are read from, to be read again later."""

    flags: dict[str, Any]
    environment: dict[str, str]

    @classmethod
    def of(cls, flags: dict[str, Any]) -> "SettingsSource":
        """These flags, and the environment of now."""
        return cls(flags, {name: value for name, value in os.environ.items() if _is_ours(name)})

    def read_again(self, settings: Settings) -> Settings:
        """These settings, with those read again that may change while the service runs.

        Only files can have changed: nobody changes the environment of a process. Raises StartError; blocks.
        """
        found = load_settings(self.environment, **self.flags)
        changed = {name: getattr(found, name) for name in READ_AGAIN}
        if found.pepper is None:  # the embedded database has its own
            del changed["pepper"]
        return settings.model_copy(update=changed)


def load_settings(environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Load the settings from flags, the environment, files that it names, and defaults.

    Without `environment`, that of the process. Raises StartError, which names every mistake and never shows the value
    of a secret.
    """
    variables = {
        name.upper(): value
        for name, value in (os.environ if environment is None else environment).items()
        if _is_ours(name)
    }
    mistakes = [f"{name} is not a setting" for name in _unknown(variables)]
    values: dict[str, Any] = {
        name: variables[variable]
        for name in Settings.model_fields
        if (variable := f"{PREFIX}{name.upper()}") in variables
    }
    told = {name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable, name in _FROM_FILES.items():
        if (file := variables.get(variable)) is None:
            continue
        if name in values:
            mistakes.append(f"{variable}: give it or {told[name]}, not both")
            continue
        told[name] = variable
        try:
            content = _read(Path(file), only_regular=environment is not None)
            values[name] = content.replace("\n", ",") if name in LISTS else content
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            mistakes.append(f"{variable}: {file} cannot be read: {reason}")
    given = {name: value for name, value in flags.items() if value is not None}
    told |= {name: f"--{name.replace('_', '-')}" for name in given}
    settings = None
    try:
        settings = Settings(**(values | given))
    except ValidationError as error:
        for mistake in error.errors(include_input=False, include_url=False):
            mistakes.append(f"{told[str(mistake['loc'][0])]}: {mistake['msg'].removeprefix('Value error, ')}")
    if settings is None or mistakes:
        raise StartError("These settings are wrong:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
    return settings


def forget_environment() -> None:
    """Remove all settings from the environment, so that child processes do not inherit secrets.

    Their values are overwritten too: Linux shows the memory that a process got them in, in `/proc/PID/environ`.
    """
    names = [name for name in os.environ if _is_ours(name)]
    if sys.platform != "win32":
        library = ctypes.CDLL(None)
        library.getenv.restype = ctypes.c_void_p
        library.strlen.restype = ctypes.c_size_t
        for name in names:
            if value := library.getenv(os.fsencode(name)):
                ctypes.memset(value, 0, library.strlen(ctypes.c_void_p(value)))
    for name in names:
        del os.environ[name]


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)  # pydantic-settings reads variables in lower case too


def _read(file: Path, *, only_regular: bool) -> str:
    """The content of a file, without line ends after it. Raises OSError and ValueError."""
    # A pipe can be read once: the second time, nobody writes into it, and its reader would wait.
    if only_regular and not stat.S_ISREG(file.stat().st_mode):
        raise ValueError("it is not a regular file, so it cannot be read again")
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


# The variables that Kubernetes sets in each pod for a service whose name begins with gql-identity
# (kubernetes.io/docs/concepts/services-networking/service, "Environment variables").
_KUBERNETES = tuple(
    (re.compile(rf"{PREFIX}(\w+_)?{name}"), re.compile(value))
    for name, value in {
        r"SERVICE_HOST": r"[0-9a-fA-F.:]+",
        r"SERVICE_PORT(_\w+)?": r"\d+",
        r"PORT(_\d+_(TCP|UDP|SCTP))?": KUBERNETES_URL.pattern,
        r"PORT_\d+_(TCP|UDP|SCTP)_PROTO": r"tcp|udp|sctp",
        r"PORT_\d+_(TCP|UDP|SCTP)_PORT": r"\d+",
        r"PORT_\d+_(TCP|UDP|SCTP)_ADDR": r"[0-9a-fA-F.:]+",
    }.items()
)


def _is_from_kubernetes(name: str, value: str) -> bool:
    names = (value_of for name_of, value_of in _KUBERNETES if name_of.fullmatch(name))
    return any(value_of.fullmatch(value) for value_of in names)


def _unknown(variables: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | _NOT_SETTINGS | _FROM_FILES.keys()
    return sorted(
        name for name, value in variables.items() if name not in known and not _is_from_kubernetes(name, value)
    )
