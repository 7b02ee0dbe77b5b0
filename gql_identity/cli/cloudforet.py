"""The command `import-cloudforet`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from ..announcement import jwts_text
from ..errors import InvalidArgument, StartError
from ..keys.audit_entries import AuditEntries
from ..keys.imported_jwts import EXTRA, has_library, sealed_issuer
from ..keys.imports import Counts, Import, Refusal, Roles, refusal_of
from ..keys.records import now
from ..messages.values import APIKeyRole, instant_text, read_rfc_3339
from ..settings import Settings
from ..storage.cloudforet import CloudforetDatabase
from ..storage.database import Database, Document
from ..storage.jwt_issuers import accepted_until, save_issuers
from .arguments import Commands, add_database_flags, settings_of
from .databases import prepared_database, resolved_database

MAX_REFUSALS = 10_000  # named by --json; the number of all is in its counts

_ROLE_OF_TYPE = {"SYSTEM": APIKeyRole.SYSTEM, "DOMAIN": APIKeyRole.DOMAIN_OWNER}


def add_commands(commands: Commands) -> None:
    """Add the command."""
    imports = commands.add_parser(
        "import-cloudforet", help="import the keys of Cloudforet 1.12; keys that exist here already stay as they are"
    )
    imports.add_argument(
        "--from",
        required=True,
        dest="source",
        metavar="URI",
        help="Cloudforet's MongoDB and its database, which is only read",
    )
    imports.add_argument(
        "--domain-id",
        action="append",
        default=[],
        dest="domains",
        metavar="DOMAIN_ID",
        help="only this domain; may be given several times",
    )
    imports.add_argument(
        "--roles",
        default="user",
        metavar="user|from-bindings|FILE",
        help="the keys' roles: USER (the default); DOMAIN_OWNER and SYSTEM where a role_binding gives the user a role "
        'of type DOMAIN or SYSTEM; or a JSON file as in {"domain-1": {"ann": "DOMAIN_OWNER"}}, USER for all others',
    )
    imports.add_argument(
        "--accept-jwt-until",
        type=_until,
        dest="until",
        metavar="DATE",
        help="copy the domains' public keys, and accept the JWTs of imported keys until the end of this day (UTC), as "
        "2027-01-31, or an instant, as 2027-01-31T12:00:00Z; an earlier one than before ends it earlier",
    )
    imports.add_argument("--dry-run", action="store_true", help="only count, and name what would be refused")
    imports.add_argument("--json", action="store_true", help="print counts and refusals as JSON")
    add_database_flags(imports)
    imports.set_defaults(run=_import)


class _Report(NamedTuple):
    """What an import did."""

    counts: Counts
    refusals: list[Refusal]  # at most MAX_REFUSALS, in the order in which they were read
    refused_domains: list[Refusal]  # those without a public key that can be used
    accepting: dict[str, datetime]  # the domains whose JWTs are accepted, with their dates


def _import(options: argparse.Namespace) -> int:
    if options.until is not None and not has_library():
        raise StartError(f"--accept-jwt-until needs a library that checks signatures: install {EXTRA}.")
    with (
        CloudforetDatabase(options.source, options.domains) as source,
        resolved_database(settings_of(options), join=True) as resolved,
    ):
        roles = _roles(options.roles, source)
        try:
            report = asyncio.run(_run(source, resolved, roles, options))
        except KeyboardInterrupt:
            print("Interrupted. Run it again: what is here already stays as it is.", file=sys.stderr)
            return 130
    print(_as_json(report, options) if options.json else _as_text(report, options))
    return 0


async def _run(source: CloudforetDatabase, settings: Settings, roles: Roles, options: argparse.Namespace) -> _Report:
    async with prepared_database(settings) as database:
        accepting, refused_domains = await _accept(source, database, settings, options)
        importing = Import(database, AuditEntries(settings), roles, accepting, is_dry=options.dry_run)
        report = _Report(importing.counts, [], refused_domains, accepting)
        batches = source.keys()
        while (batch := await asyncio.to_thread(_next, batches)) is not None:
            refusals = await importing.take(batch)
            report.refusals.extend(refusals[: MAX_REFUSALS - len(report.refusals)])
            if not options.json:
                _name(refusals)
    return report


async def _accept(
    source: CloudforetDatabase, database: Database, settings: Settings, options: argparse.Namespace
) -> tuple[dict[str, datetime], list[Refusal]]:
    """Accept the JWTs of the source's domains until the date, if one is given.

    Returns the domains whose JWTs are accepted, those of earlier imports too, and those that were refused.
    """
    issuers: list[Document] = []
    refused: list[Refusal] = []
    for domain_id, public_key in await asyncio.to_thread(list, source.public_keys()) if options.until else ():
        try:
            issuers.append(sealed_issuer(domain_id, public_key, options.until, settings.peppers[0]))
        except InvalidArgument as error:
            refused.append(refusal_of(domain_id, error))
    if not options.dry_run:
        await save_issuers(database, issuers)
    if not options.json:
        _name(refused)
    accepting = await accepted_until(database, now()) | {issuer["_id"]: issuer["until"] for issuer in issuers}
    return {domain: until for domain, until in accepting.items() if until > now()}, refused


def _next(batches: Iterator[list[Document]]) -> list[Document] | None:
    return next(batches, None)


def _name(refusals: list[Refusal]) -> None:
    for refusal in refusals:
        # Whatever is in that database must not control the terminal.
        name = refusal.id if refusal.id.isprintable() else ascii(refusal.id)
        print(f"refused   {name}: {refusal.field}: {refusal.why}", file=sys.stderr)


def _as_json(report: _Report, options: argparse.Namespace) -> str:
    last = max(report.accepting.values(), default=None)
    return json.dumps(
        {
            **asdict(report.counts),
            "dry_run": options.dry_run,
            "jwt_domains": len(report.accepting),
            "jwts_accepted_until": last and instant_text(last),
            "refusals": [refusal._asdict() for refusal in report.refusals],
            "refused_domains": [refusal._asdict() for refusal in report.refused_domains],
        }
    )


def _as_text(report: _Report, options: argparse.Namespace) -> str:
    counts = report.counts
    lines = [
        f"Read          {counts.read}",
        f"Imported      {counts.imported}{' (dry run: nothing was written)' if options.dry_run else ''}",
        f"Already here  {counts.already_here}",
        f"Refused       {counts.refused}",
        f"No secret     {counts.open_nothing}",
    ]
    if counts.open_nothing:
        lines.append("Keys without a secret cannot be used: rotate them, and give the new secrets to their users.")
    if report.accepting:
        lines.append(f"{jwts_text(report.accepting)}.")
    elif options.until is not None:
        lines.append(
            "No new JWTs are accepted: the date is past, or no domain has a public key in domain_secret. "
            "JWTs that were used before are secrets like any other."
        )
    return "\n".join(lines)


def _until(text: str) -> datetime:
    """The instant, or the end of the day, that a text names; raises ArgumentTypeError."""
    try:
        if len(text) == len("2027-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
        return read_rfc_3339(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            "give a day as in 2027-01-31, or an instant as in 2027-01-31T12:00:00Z"
        ) from None


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
