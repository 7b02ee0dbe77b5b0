"""What is noted of each use of a key, in memory; it is written in the background, so that no request waits."""

from ..messages.keys import APIKeyInfo, APIKeyVerificationCode
from ..storage.database import Database
from ..storage.last_uses import LastUses
from .audit_entries import AuditEntries
from .stale_secrets import StaleSecrets
from .validity import used_secret


class KeyUses:
    """Uses of keys, by callers and in verifications: when the last one was, and those of ended secrets."""

    def __init__(self, database: Database, last_uses: LastUses, entries: AuditEntries) -> None:
        self.last_uses = last_uses
        self.stale_secrets = StaleSecrets(database, entries)

    def note(self, key: APIKeyInfo, code: APIKeyVerificationCode, address: str | None) -> None:
        """Note that a secret of a key was used now, with which outcome, from an address if it is known."""
        if code is APIKeyVerificationCode.VALID:
            self.last_uses.record(key.api_key_id, key.domain_id, used_secret(key).number)
        elif code is APIKeyVerificationCode.ROTATED:
            self.stale_secrets.note(key, address)
