"""Describes the machine that the figures were measured on."""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

_PYTHON_PACKAGES = (
    "gql-identity",
    "strawberry-graphql",
    "graphql-core",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "motor",
    "pymongo",
    "orjson",
    "ariadne",
    "secantusdb",
)


def describe(database: str) -> dict[str, Any]:
    """The machine, its load and all relevant versions."""
    return {
        "cpu": _found(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "database": database,
        "python": platform.python_version(),
        "node": _said("node", "--version"),
        "wrk": (re.search(r"wrk (\S+)", _said("wrk", "--version") or "") or [None, None])[1],
        "commit": _said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"),
        "packages": _python_packages() | _node_packages(),
    }


def _found(pattern: str, file: str) -> str | None:
    with suppress(OSError):
        if match := re.search(pattern, Path(file).read_text(), re.MULTILINE):
            return match[1]
    return None


def _said(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    # wrk prints its version with exit code 1.
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip() or None


def _python_packages() -> dict[str, str]:
    versions = {}
    for name in _PYTHON_PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _node_packages() -> dict[str, str]:
    manifest = Path(__file__).parent / "package.json"
    return {f"npm:{name}": version for name, version in json.loads(manifest.read_text())["dependencies"].items()}
