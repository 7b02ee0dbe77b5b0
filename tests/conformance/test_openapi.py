"""The OpenAPI document of Cloudforet's routes, and responses that conform to it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from gql_identity.messages.query import APIKeyOperator
from gql_identity.settings import Settings
from gql_identity.web.openapi import openapi
from gql_identity.web.rest_operations import OPERATIONS
from tests.conftest import Api, Person, running


@schemathesis.check
def errors_are_described(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: Case[Any]) -> None:
    """The document names each member of an error."""
    error = response.json().get("error", {})
    if error:
        described = openapi()["components"]["responses"][str(response.status_code)]["content"]["application/json"]
        assert error.keys() <= described["schema"]["properties"]["error"]["properties"].keys()


DOCUMENT = schemathesis.openapi.from_dict(openapi())  # registers the checks too
DOCUMENT.config.generation.with_security_parameters = False  # the tests choose who asks
CONFORMS: list[Any] = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "errors_are_described",
        "negative_data_rejection",
    ]
)


@dataclass
class Service:
    """The application in another thread, and a key of it."""

    portal: BlockingPortal
    api: Api
    admin: Person

    def send(self, path: str, body: Any, by: Person | None = None, method: str = "POST") -> httpx.Response:
        headers = {"Content-Type": "application/json"} | (
            {} if by is None else {"Authorization": f"Bearer {by.secret}"}
        )
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def sent() -> httpx.Response:
            return await self.api.client.request(method, path, content=content, headers=headers)

        return self.portal.call(sent)


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running(settings)) as api:
        yield Service(portal, api, portal.call(api.make))


def aimed(body: Any, key_id: str) -> Any:
    """A request of chance, but for a key that is there and without what chance never gets right."""
    body = {**body, "domain_id": "d1"}
    if query := body.get("query"):
        never = ("unwind", "filter", "filter_or", "sort", "only", "aggregate", "page")
        body["query"] = {name: "state" if name == "distinct" else query[name] for name in query if name not in never}
    return {**body, "api_key_id": key_id} if "api_key_id" in body else body


# schemathesis itself draws from `random` within its strategies.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("examples", [12, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_request_is_answered_as_the_document_says(
    service: Service, operation: str, mode: GenerationMode, examples: int
) -> None:
    path = f"/identity/v1/api-key/{operation}"
    statuses = set()

    # The same examples each time: few of a random choice may have no request that succeeds.
    @bounded(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=DOCUMENT[path]["POST"].as_strategy(generation_mode=mode), aim=st.booleans())
    def conforms(case: Case[Any], aim: bool) -> None:
        if aim and mode is GenerationMode.POSITIVE:
            made = service.send("/identity/v1/api-key/create", {"user_id": "u", "domain_id": "d1"}, service.admin)
            case.body = aimed(case.body, made.json()["api_key_id"])
        response = service.send(path, case.body, service.admin)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CONFORMS)

    conforms()
    assert 400 in statuses
    assert 200 in statuses or mode is GenerationMode.NEGATIVE


def test_refusals_keep_to_the_document(service: Service) -> None:
    owner = service.portal.call(service.api.make, "USER", "d1", "u1")
    for operation in OPERATIONS:
        path = f"/identity/v1/api-key/{operation}"
        message: dict[str, Any] = {"domain_id": "d2", "api_key_id": "k", "user_id": "u", "query": {"distinct": "state"}}
        body = {name: message[name] for name in ("domain_id", *requests(operation).get("required", ()))}
        for by, status in ((None, 401), (owner, 403)):
            response = service.send(path, body, by)
            assert response.status_code == status
            case = DOCUMENT[path]["POST"].Case(body=body, media_type="application/json")
            case.validate_response(response, checks=CONFORMS[:6])


def requests(operation: str) -> Any:
    """The schema of an operation's message."""
    post = openapi()["paths"][f"/identity/v1/api-key/{operation}"]["post"]
    reference = post["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return openapi()["components"]["schemas"][reference.rpartition("/")[2]]


def test_the_document_has_the_routes_and_messages_of_all_operations() -> None:
    document = openapi()
    assert document["openapi"].startswith("3.1.")
    names = [
        "create",
        "enable",
        "disable",
        "delete",
        "get",
        "list",
        "stat",
        "update",
        "rotate",
        "end-overlap",
        "audit",
        "usage",
    ]
    assert list(document["paths"]) == [f"/identity/v1/api-key/{name}" for name in names]
    assert requests("create")["required"] == ["user_id"]
    assert requests("enable")["required"] == requests("delete")["required"] == ["api_key_id"]
    assert requests("get")["required"] == ["api_key_id"]
    assert "required" not in requests("list")
    assert requests("stat")["required"] == ["query"]
    schemas = document["components"]["schemas"]
    assert set(schemas["APIKeyInfo"]["required"]) == set(schemas["APIKeyInfo"]["properties"])
    assert not {"id", "user", "domain"} & set(schemas["APIKeyInfo"]["properties"])
    assert schemas["APIKeyOperator"]["enum"] == [operator.value for operator in APIKeyOperator]
    assert "default" not in schemas["APIKeyCondition"]["properties"]["value"]  # left out differs from null


def test_an_overlap_has_its_own_bounds() -> None:
    overlap = requests("rotate")["properties"]["overlap_seconds"]
    assert (overlap["type"], overlap["minimum"], overlap["maximum"]) == ("integer", 0, 2_592_000)


def test_each_part_of_the_document_is_described_in_the_seed_s_spelling() -> None:
    schemas = openapi()["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema["description"], name
        assert name == "Empty" or schema.get("properties") or schema.get("enum"), name
        for field, part in schema.get("properties", {}).items():
            described = part.get("description") or schemas[part["$ref"].rpartition("/")[2]]["description"]
            assert described, (name, field)
            for graphql in ("totalCount", "countOnly", "filterOr", "createApiKey", "`COUNT`", "`PUSH`"):
                assert graphql not in described, (name, field)


def test_the_document_that_is_served_is_this_one(service: Service) -> None:
    response = service.send("/identity/v1/openapi.json", None, method="GET")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == openapi()
