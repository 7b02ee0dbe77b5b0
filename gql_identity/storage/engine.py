"""The engine's executable: where it is installed, its command line, and the end of its process."""

import importlib.metadata
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from ..errors import StartError
from .data_directory import HOST

_DISTRIBUTION = "secantusdb"
_BINARY = "secantusdb.scripts/secantusd-rs"
# Below the range of outgoing connections, so that none of those takes the port after a crash.
_PORTS = range(10_240, 30_000)
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9

# The child runs this before it executes the engine. `preexec_fn` would do the same, but is unsafe with threads.
_LAUNCHER = f"""
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {_SIGKILL})
if os.getppid() != int(sys.argv[1]):
    sys.exit("the service ended before its database began")
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_binary() -> Path:
    """The engine's path, found without importing its package, whose licence is the GPL."""
    try:
        binary = Path(str(importlib.metadata.distribution(_DISTRIBUTION).locate_file(_BINARY)))
    except importlib.metadata.PackageNotFoundError:
        binary = None
    if binary is None or not os.access(binary, os.X_OK):
        raise StartError(
            "The embedded database is not installed: install gql-identity with its extra `embedded` (README, Install). "
            "Where that finds no wheel for this platform or version of Python, give a MongoDB with --mongo-uri."
        )
    return binary.resolve()


def command_line(binary: Path, port: int, *flags: str) -> list[str]:
    """The command that runs the engine in its data directory, as a child of this process."""
    return [
        *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(binary)),
        *("--config", "secantusd.toml", "--host", HOST, "--port", str(port), "--storage-path", "data"),
        # Without --sync-on-commit a crash loses acknowledged writes.
        *("--sync-on-commit", "--log-file-max", "32MB", "--cache-size", "256M"),
        *flags,
    ]


def free_port() -> int:
    """A port of the loopback address that is free at this moment."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def end(child: subprocess.Popen[bytes] | None, patience_seconds: float) -> None:
    """Ask a child process to end, and kill it after the timeout."""
    if child is None:
        return
    child.terminate()
    try:
        child.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
