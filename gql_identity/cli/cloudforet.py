"""The command `import-cloudforet`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ..errors import StartError
from ..keys.audit_entries import AuditEntries
from ..keys.imports import Counts, Import, Refusal, Roles
from ..messages.values import APIKeyRole
from ..settings import Settings
from ..storage.cloudforet import CloudforetDatabase
from ..storage.database import Document
from .arguments import Commands, add_setting_flags, settings_of
from .databases import prepared_database, resolved_database

MAX_REFUSALS = 10_000  # named by --json; the number of all is in its counts

_ROLE_OF_TYPE = {"SYSTEM": APIKeyRole.SYSTEM, "DOMAIN": APIKeyRole.DOMAIN_OWNER}


def add_commands(commands: Commands) -> None:
    """Add the command."""
    imports = commands.add_parser(
        "import-cloudforet", help="import the keys of Cloudforet 1.12; those that are here stay as they are"
    )
    imports.add_argument(
        "--from", required=True, dest="source", metavar="URI", help="Cloudforet's MongoDB and its database; only read"
    )
    imports.add_argument(
        "--domain-id", action="append", default=[], dest="domains", help="only this domain; may be given several times"
    )
    imports.add_argument(
        "--roles",
        default="user",
        metavar="user|from-bindings|FILE",
        help="the keys' roles: USER (the default); DOMAIN_OWNER and SYSTEM where a role_binding gives the user a role "
        'of type DOMAIN or SYSTEM; or a JSON file as in {"domain-1": {"ann": "DOMAIN_OWNER"}}, USER for all others',
    )
    imports.add_argument("--dry-run", action="store_true", help="only count, and name what would be refused")
    imports.add_argument("--json", action="store_true", help="print counts and refusals as JSON")
    add_setting_flags(imports, "mongo_uri", "data_dir")
    imports.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> int:
    with (
        CloudforetDatabase(options.source, options.domains) as source,
        resolved_database(settings_of(options), join=True) as resolved,
    ):
        roles = _roles(options.roles, source)
        try:
            counts, refusals = asyncio.run(_run(source, resolved, roles, options))
        except KeyboardInterrupt:
            print("Interrupted. Run it again: what is here already stays as it is.", file=sys.stderr)
            return 130
    if options.json:
        print(json.dumps({**asdict(counts), "dry_run": options.dry_run, "refusals": refusals}))
    else:
        print(_told(counts, is_dry=options.dry_run))
    return 0


async def _run(
    source: CloudforetDatabase, settings: Settings, roles: Roles, options: argparse.Namespace
) -> tuple[Counts, list[dict[str, str]]]:
    kept: list[dict[str, str]] = []
    async with prepared_database(settings) as database:
        importing = Import(database, AuditEntries(settings), roles, is_dry=options.dry_run)
        batches = source.keys()
        while (batch := await asyncio.to_thread(_next, batches)) is not None:
            refusals = await importing.take(batch)
            kept += [refusal._asdict() for refusal in refusals[: MAX_REFUSALS - len(kept)]]
            for refusal in refusals if not options.json else ():
                print(_named(refusal), file=sys.stderr)
    return importing.counts, kept


def _next(batches: Iterator[list[Document]]) -> list[Document] | None:
    return next(batches, None)


def _named(refusal: Refusal) -> str:
    # Whatever is in that database must not control the terminal.
    name = refusal.api_key_id if refusal.api_key_id.isprintable() else ascii(refusal.api_key_id)
    return f"refused   {name}: {refusal.field}: {refusal.why}"


def _told(counts: Counts, *, is_dry: bool) -> str:
    lines = [
        f"Read          {counts.read}",
        f"Imported      {counts.imported}{' (dry run: nothing was written)' if is_dry else ''}",
        f"Already here  {counts.already_here}",
        f"Refused       {counts.refused}",
        f"Open nothing  {counts.open_nothing}",
    ]
    if counts.open_nothing:
        lines.append("No secret of these keys is known here: rotate them, and give the new secrets to their users.")
    return "\n".join(lines)


def _roles(chosen: str, source: CloudforetDatabase) -> Roles:
    """The roles of users; raises StartError for a file that is missing or wrong."""
    if chosen == "user":
        return {}
    if chosen == "from-bindings":
        found = source.role_types()
        return {user: max((_ROLE_OF_TYPE[type_] for type_ in types), key=_rank) for user, types in found.items()}
    try:
        content = json.loads(Path(chosen).read_text(encoding="utf-8"))
        return {(domain, user): APIKeyRole[role] for domain, users in content.items() for user, role in users.items()}
    except OSError as error:
        raise StartError(f"--roles: give user, from-bindings or a file. {error}") from None
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        names = ", ".join(role.name for role in APIKeyRole)
        raise StartError(
            f'--roles: {chosen} must be JSON as in {{"domain-1": {{"ann": "DOMAIN_OWNER"}}}}, with the roles {names}: '
            f"{error}"
        ) from None


def _rank(role: APIKeyRole) -> int:
    return role.rank
