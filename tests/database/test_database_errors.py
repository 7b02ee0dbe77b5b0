"""Errors of MongoDB that the embedded engine does not have, as the driver raises them."""

import pymongo.errors as driver
import pytest

from gql_identity.errors import DeadlineExceeded, InvalidArgument, ServiceError, StartError, Unavailable
from gql_identity.settings import Settings
from gql_identity.storage import database as storage
from gql_identity.storage.database import Database


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (driver.WriteConcernError("Not enough data-bearing nodes", 100, {"code": 100}), Unavailable),
        (driver.WriteConcernError("operation was interrupted", 11602, {"code": 11602}), Unavailable),
        (driver.WriteConcernError("operation exceeded time limit", 50, {"code": 50}), DeadlineExceeded),
        (driver.WTimeoutError("waiting for replication timed out", 64, {"code": 64}), DeadlineExceeded),
        (driver.OperationFailure("Unable to acquire a ticket", 365), Unavailable),
        (driver.OperationFailure("Request rate limit exceeded", 462), Unavailable),
        (driver.OperationFailure("version mismatch detected for identity.api_keys", 13388), Unavailable),
        (driver.OperationFailure("no such", 251, {"errorLabels": ["TransientTransactionError"]}), Unavailable),
        (driver.CursorNotFound("cursor id 1 not found", 43), Unavailable),
        (driver.NotPrimaryError("not primary"), Unavailable),
        (driver.OperationFailure("PlanExecutor error: $push used too much memory", 146), InvalidArgument),
        (driver.ExecutionTimeout("operation exceeded time limit", 50), DeadlineExceeded),
    ],
)
async def test_what_mongodb_refuses_for_a_while_is_told_as_such(
    settings: Settings, error: driver.PyMongoError, expected: type[ServiceError]
) -> None:
    async def fail() -> None:
        raise error

    async with Database(settings) as database:
        await database.prepare()
        with pytest.raises(expected):
            await database.run(fail)


async def test_a_mongodb_that_is_too_old_is_refused_at_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(settings) as database:
        monkeypatch.setattr(storage, "OLDEST_WIRE_VERSION", 1_000)
        with pytest.raises(StartError, match=r"older than MongoDB 6\.0"):
            await database.prepare()
