"""The table of settings in docs/settings.md, held against the code."""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from gql_identity.settings import PREFIX, Settings

TABLE = Path(__file__).parents[2] / "docs" / "settings.md"


def row(name: str, field: Any) -> str:
    bounds = {type(part).__name__.lower(): getattr(part, type(part).__name__.lower(), None) for part in field.metadata}
    choices = [choice for choice in re.findall(r"'([a-z]+)'", str(field.annotation)) if choice not in ("str", "bool")]
    if "ge" in bounds:
        allowed = f"{bounds['ge']:,} to {bounds['le']:,}"
    elif choices:
        allowed = ", ".join(f"`{choice}`" for choice in choices)
    elif "bool" in str(field.annotation):
        allowed = "`true`, `false`"
    else:
        allowed = ""
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    value = str(value).lower() if isinstance(value, bool) else value
    default = "" if value in (None, (), PydanticUndefined) else f"`{value}`"
    return f"| `{PREFIX}{name.upper()}` | {default} | {allowed} | {field.description} |"


def test_the_documentation_has_every_setting_as_it_is() -> None:
    expected = [row(name, field) for name, field in Settings.model_fields.items()]
    there = [line for line in TABLE.read_text().splitlines() if line.startswith(f"| `{PREFIX}")]
    assert there == expected, "\n".join(expected)
