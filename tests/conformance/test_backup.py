"""The commands of docs/backup.md, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..processes import ROOT, Service, serving, surroundings

PAGE = (ROOT / "docs" / "backup.md").read_text()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux does")]


def block(heading: str, number: int = 0) -> str:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[number])


def shell(script: str, cwd: Path) -> str:
    path = f'PATH="{sys.prefix}/bin:$PATH"\n'
    done = subprocess.run(
        ["bash", "-eu", "-c", path + script], cwd=cwd, env=surroundings(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_accepted(service: Service, secret: str) -> bool:
    return service.send("{ viewer { userId } }", by=secret).status_code == 200


def test_files_are_copied_and_restored(tmp_path: Path) -> None:
    data = tmp_path / "gql-identity-data"
    with serving(data) as service:
        early, rotated = service.create(), service.create()
        assert service.stop() == 0
    shell(block("The embedded database", 1), tmp_path)
    with serving(data) as service:
        late = service.create()
        service.command("keys", "disable", early["apiKeyId"])
        service.command("rotate-key", rotated["apiKeyId"], "--overlap", "0")
        assert not is_accepted(service, early["apiKey"])
        assert service.stop() == 0
    shell(block("The embedded database", 2), tmp_path)
    # As the page warns: what was disabled is valid again, and disabled before the service starts.
    assert early["apiKeyId"] in shell(block("After a restore").replace("KEY_ID", early["apiKeyId"]), tmp_path)
    with serving(data) as service:
        assert is_accepted(service, rotated["apiKey"])
        assert not is_accepted(service, early["apiKey"])
        assert not is_accepted(service, late["apiKey"])


def test_a_team_moves_from_the_embedded_database_to_its_own(tmp_path: Path, mongo_uri: str) -> None:
    data = tmp_path / "gql-identity-data"
    imports = block("Import").replace("mongodb://...", mongo_uri)
    with serving(data) as service:
        kept, disabled, deleted = (service.create() for _ in range(3))
        shell(block("The embedded database"), tmp_path)
        assert "Created 4 keys, updated 0; 0 were there already." in shell(imports, tmp_path)
        late = service.create()
        service.command("keys", "disable", disabled["apiKeyId"])
        service.command("keys", "delete", "--yes", deleted["apiKeyId"])
        first = service.admin_key
        assert service.stop() == 0
    second = block("The embedded database").replace("keys.jsonl", "again.jsonl")
    shell(second, tmp_path)
    again = imports.replace("keys.jsonl", "again.jsonl 2>&1")
    assert "Created 1 keys, updated 1; 2 were there already." in (said := shell(again, tmp_path))
    assert "Keys of the database that are not in the file: 1." in said
    environment: dict[str, Any] = {
        "GQL_IDENTITY_MONGO_URI": mongo_uri,
        "GQL_IDENTITY_PEPPER": (data / "pepper").read_text().strip(),
    }
    with serving(tmp_path / "unused", **environment) as service:
        for secret in (first, kept["apiKey"], late["apiKey"]):
            assert is_accepted(service, secret)
        assert not is_accepted(service, disabled["apiKey"])
