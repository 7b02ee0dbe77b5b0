"""`audit-verify`: whether the audit log of a domain is intact."""

import argparse
import asyncio
import json
import sys

from ..keys.audit_check import AuditReport, check_audit
from ..keys.audit_entries import AuditEntries
from ..keys.every_domain import count_keys
from ..keys.records import now
from ..settings import Settings
from .arguments import Commands, add_database_flags, settings_of
from .databases import prepared_database, resolved_database


def add_commands(commands: Commands) -> None:
    """Add the command."""
    verify = commands.add_parser(
        "audit-verify", help="check that the audit log of a domain is as the service wrote it, without gaps"
    )
    verify.add_argument("--domain-id", required=True, help="the domain")
    verify.add_argument("--json", action="store_true", help="print the result as JSON")
    add_database_flags(verify)
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    async def check(settings: Settings) -> tuple[AuditReport, bool]:
        async with prepared_database(settings) as database:
            report = await check_audit(database, AuditEntries(settings), options.domain_id, now())
            exists = report.entries > 0 or await count_keys(database, options.domain_id, None) > 0
            return report, exists

    with resolved_database(settings_of(options), join=True) as resolved:
        report, exists = asyncio.run(check(resolved))
    if options.json:
        print(json.dumps(report._asdict()))
    elif exists:
        for fault in report.faults:
            print(fault)
        print(f"{report.entries} entries of {report.keys} keys, {len(report.faults)} faults.")
        if report.unknown:
            print(f"{report.unknown} of them were written with a pepper that is not among those given: not checked.")
    if not exists:
        told = f"domain {options.domain_id} has neither keys nor audit entries. Check --domain-id."
        print(f"gql-identity: nothing was checked: {told}", file=sys.stderr)
    return 1 if report.faults or not exists else 0
