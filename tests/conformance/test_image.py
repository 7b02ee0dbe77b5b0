"""The steps of deploy/Dockerfile by hand, as no image can be built where the tests run.

The wheel is installed into an empty environment and run as an image runs it: as PID 1, by any user, without a home, on
a file system that is read-only.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing_tool

ROOT = Path(__file__).parents[2]
USER = "54321"  # it is in no list of users
PEPPER = "p" * 32

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """The environment that the image has, where every user can read it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "dist", ROOT])
        run([sys.executable, "-m", "venv", folder / "opt"])
        pip[0] = str(folder / "opt" / "bin" / "python")
        run([*pip, "install", "--quiet", "--require-hashes", "--requirement", ROOT / "constraints-image.txt"])
        run([*pip, "install", "--quiet", "--no-deps", *(folder / "dist").glob("*.whl")])
        yield folder / "opt" / "bin"


def run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd="/")
    assert done.returncode == 0, done.stderr


def in_a_container(command: list[str], environment: dict[str, str]) -> list[str]:
    """The command that runs another as an image does. What it cannot write to is all but /proc."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        missing_tool("unshare or setpriv, with the rights of root,")
    python = Path(sys.base_prefix)
    steps = ["set -e"]
    # Where an administrator's home has the interpreter, another user cannot reach it: show that part of it alone.
    if closed := [folder for folder in reversed(python.parents) if not folder.stat().st_mode & 0o001]:
        steps += [
            f"mount --bind {python} /mnt",
            f"mount -t tmpfs -o mode=755 none {closed[0]}",
            f"mkdir -p {python}",
            f"mount --bind /mnt {python}",
        ]
    steps += [
        "mount -o remount,bind,ro /",
        "cd /",
        f'exec setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs -- "$@"',
    ]
    plain = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command]
    return [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        "\n".join(steps),
        "sh",
        *plain,
    ]


def status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def until_ready(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while status(port) != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.1)


def children(process_id: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def test_the_image_serves_as_pid_1_for_any_user_without_a_home_on_a_read_only_file_system(
    installed: Path, mongo_uri: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": f"{installed}:/usr/bin:/bin",
        "GQL_IDENTITY_HOST": "127.0.0.1",
        "GQL_IDENTITY_PORT": str(port),
        "GQL_IDENTITY_WORKERS": "2",
        "GQL_IDENTITY_MONGO_URI": mongo_uri,
        "GQL_IDENTITY_PEPPER": PEPPER,
    }
    command = in_a_container(["gql-identity", "serve"], environment)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as container:
        try:
            until_ready(port, container)
            (first,) = children(container.pid)
            shown = dict(line.split(":", 1) for line in Path(f"/proc/{first}/status").read_text().splitlines())
            assert shown["NSpid"].split()[-1] == "1"
            assert shown["Uid"].split() == [USER] * 4
            # A worker that is killed is replaced and waited for: PID 1 leaves no zombie.
            killed = children(first)[-1]
            os.kill(killed, signal.SIGKILL)
            deadline = time.monotonic() + 30
            while Path(f"/proc/{killed}").exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            until_ready(port, container)
            create = ["gql-identity", "create-key", "--domain-id", "d", "--user-id", "u", "--role", "SYSTEM"]
            made = subprocess.run(
                in_a_container(create, environment), capture_output=True, text=True, timeout=60, check=False
            )
            assert "gqlid_" in made.stdout, made.stderr
            os.kill(first, signal.SIGTERM)
            said, _ = container.communicate(timeout=30)
            assert container.returncode == 0, said
            assert "Traceback" not in said
        finally:
            container.kill()


def test_the_image_has_no_embedded_database_and_says_what_to_give(installed: Path) -> None:
    command = in_a_container(["gql-identity", "serve"], {"PATH": f"{installed}:/usr/bin:/bin"})
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "--mongo-uri" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(installed.parent.glob("lib/*/site-packages/secantusdb*"))
