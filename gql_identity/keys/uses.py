"""What is noted of each use of a key, in memory; it is written in the background, so that no request waits."""

from ..addresses import network_of
from ..messages.keys import APIKeyInfo
from ..messages.usage import APIKeyVerificationCode
from ..storage.database import Database
from ..storage.last_uses import LastUses
from ..storage.usage_counts import UsageCounts
from .audit_entries import AuditEntries
from .refusals import LINES_OF_A_KEY, LINES_OF_AN_ADDRESS
from .stale_secrets import StaleSecrets
from .validity import used_secret


class KeyUses:
    """Uses of keys, by callers and in verifications: how many, when the last one was, and those of ended secrets."""

    def __init__(self, database: Database, last_uses: LastUses, counts: UsageCounts, entries: AuditEntries) -> None:
        self.last_uses = last_uses
        self.counts = counts
        self.stale_secrets = StaleSecrets(database, entries)
        self._refusals = entries.refusals

    def note(
        self, key: APIKeyInfo, code: APIKeyVerificationCode, address: str | None, *, by_token: bool = False
    ) -> None:
        """Note that a secret of a key, or a token, was used now, with which outcome, from an address if it is known."""
        self.counts.count(key.api_key_id, key.domain_id, code._name_)
        if code is APIKeyVerificationCode.VALID:
            secret = used_secret(key)
            self.last_uses.record(key.api_key_id, key.domain_id, secret.number)
            if secret.supersedes:
                self.last_uses.hasten(key.api_key_id, secret.number)
        elif code is APIKeyVerificationCode.ROTATED and not by_token:  # such a token tells nobody's secret
            self.stale_secrets.note(key, address)

    def refuse(
        self,
        key: APIKeyInfo | None,
        code: APIKeyVerificationCode,
        address: str,
        outcome: str,
        *,
        by_token: bool = False,
    ) -> None:
        """As `note`, for a credential of a caller that is refused; it is logged with its outcome."""
        if key is not None:
            self.note(key, code, address, by_token=by_token)
        self._refusals.tell(
            network_of(address) if key is None else key.api_key_id,
            LINES_OF_AN_ADDRESS if key is None else LINES_OF_A_KEY,
            action="AUTHENTICATED",
            outcome=outcome,
            api_key_id=key and key.api_key_id,
            domain_id=key and key.domain_id,
            actor=None,
            client_address=address,
        )
