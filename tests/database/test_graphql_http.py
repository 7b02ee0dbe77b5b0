"""GraphQL over HTTP: what is read and refused, and how it is answered."""

import asyncio
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gql_identity.errors import StartError
from gql_identity.execution import documents
from tests.conftest import Api, Person, listening, running

GRAPHQL_JSON = "application/graphql-response+json"
TYPENAME = "{ __typename }"
DATA = {"data": {"__typename": "Query"}}


async def post(api: Api, content: bytes | str, by: Person | None = None, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    if by is not None:
        headers["Authorization"] = f"Bearer {by.secret}"
    return await api.client.post("/graphql", content=content, headers=headers)


def refusal(answer: httpx.Response, status: int, code: str = "BAD_REQUEST") -> str:
    """The message of a refusal; fails where it is none, or of another status or code."""
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == code
    assert "data" not in answer.json()
    return str(error["message"])


class TestMediaTypes:
    @pytest.mark.parametrize(
        ("accept", "answered"),
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("application/*", "application/json"),
            ("application/json", "application/json"),
            ("text/plain", "application/json"),
            (GRAPHQL_JSON, GRAPHQL_JSON),
            (GRAPHQL_JSON.upper(), GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}; charset=utf-8", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}, application/json", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON}, application/json;q=0.9", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON};q=0.5, application/json", "application/json"),
            (f"application/json;q=0.1 , {GRAPHQL_JSON};q=0.2", GRAPHQL_JSON),
            (f"{GRAPHQL_JSON};q=0, */*", "application/json"),
            ("application/json;q=0, */*", GRAPHQL_JSON),
            ("application/json;q=0, application/*;q=0.1", GRAPHQL_JSON),
            (f"application/json;q=0, {GRAPHQL_JSON};q=0, */*", "application/json"),
            ("application/json;q=0, */*;q=0", "application/json"),
            ("*/*;q=0", "application/json"),
            ("text/event-stream;q=0", "application/json"),
            (f"{GRAPHQL_JSON};q=oops", "application/json"),
        ],
    )
    async def test_the_best_liked_is_answered(self, api: Api, accept: str | None, answered: str) -> None:
        headers = {"Accept": accept} if accept else {}
        request = api.client.build_request("POST", "/graphql", json={"query": TYPENAME}, headers=headers)
        if accept is None:
            del request.headers["Accept"]
        answer = await api.client.send(request)
        assert answer.headers["Content-Type"] == f"{answered}; charset=utf-8"
        assert answer.json() == DATA

    async def test_several_headers_count_as_one(self, api: Api) -> None:
        headers = [("Accept", "application/json;q=0.5"), ("Accept", GRAPHQL_JSON)]
        answer = await api.client.post("/graphql", json={"query": TYPENAME}, headers=headers)
        assert answer.headers["Content-Type"].startswith(GRAPHQL_JSON)

    @pytest.mark.parametrize(
        ("query", "variables"),
        [
            ("{", None),
            ("{ nothing }", None),
            ("query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }", {"i": 1}),
        ],
    )
    async def test_a_request_error_is_400_without_data_under_the_newer_one_alone(
        self, api: Api, query: str, variables: Any
    ) -> None:
        user = await api.make("USER")  # variables are read for callers alone
        for accept, status in ((GRAPHQL_JSON, 400), ("application/json", 200)):
            answer = await api.send(query, variables, user, Accept=accept)
            assert answer.status_code == status
            assert answer.json()["errors"]
            assert "data" not in answer.json()

    async def test_a_field_error_is_200_with_data_under_both(self, api: Api) -> None:
        for accept in (GRAPHQL_JSON, "application/json"):
            answer = await api.send('{ apiKey(input: {domainId: "d1", apiKeyId: "k"}) { id } }', Accept=accept)
            assert answer.status_code == 200
            assert answer.json()["data"] == {"apiKey": None}

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/graphql",
            "application/json; charset=latin-1",
            "application/json; charset=utf-16",
            "application/json; a=b; Charset=iso-8859-1",
            "application/json, text/plain",
            "application/jsonp",
            "",
        ],
    )
    async def test_a_body_of_another_type_is_refused(self, api: Api, content_type: str) -> None:
        # What a page of another origin can send without asking first is among them.
        answer = await post(api, json.dumps({"query": TYPENAME}), Content_Type=content_type)
        assert "application/json" in refusal(answer, 415)
        assert answer.headers["Accept-Post"] == "application/json"

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json; charset=utf-8",
            'Application/JSON ; charset="UTF-8"',
            "application/json;",
            "application/json; ;charset=utf8 ; ",
            "application/json; version=2; charset=utf-8; odata.metadata=minimal",
            'application/json; profile="a; charset=latin-1"',
        ],
    )
    async def test_json_in_utf_8_is_read_however_it_is_written(self, api: Api, content_type: str) -> None:
        assert (await post(api, json.dumps({"query": TYPENAME}), Content_Type=content_type)).json() == DATA

    @pytest.mark.parametrize("coding", ["gzip", "br", "identity, deflate"])
    @pytest.mark.parametrize("path", ["/graphql", "/identity/v1/api-key/list", "/introspect"])
    async def test_a_compressed_body_is_refused_and_told_what_is_read(self, api: Api, path: str, coding: str) -> None:
        system = await api.make()
        kind = "application/x-www-form-urlencoded" if path == "/introspect" else "application/json"
        headers = {"Content-Type": kind, "Content-Encoding": coding, "Authorization": f"Bearer {system.secret}"}
        answer = await api.client.post(path, content=gzip.compress(b"{}"), headers=headers)
        assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")
        assert "Content-Encoding" in answer.text

    async def test_an_identity_coding_is_none(self, api: Api) -> None:
        assert (await post(api, json.dumps({"query": TYPENAME}), Content_Encoding="Identity")).json() == DATA


class TestMethods:
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    async def test_others_than_get_and_post_are_refused(self, api: Api, method: str) -> None:
        answer = await api.client.request(method, "/graphql")
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"

    async def test_empty_variables_and_extensions_are_as_absent(self, api: Api) -> None:
        parameters = {"query": TYPENAME, "variables": "", "extensions": "", "operationName": ""}
        assert (await api.client.get("/graphql", params=parameters)).json() == DATA

    async def test_get_runs_a_query_with_variables_and_extensions(self, api: Api) -> None:
        system = await api.make()
        query = "query A($d: ID!) { apiKeys(input: {domainId: $d}) { totalCount } } query B { __typename }"
        parameters = {
            "query": query,
            "operationName": "A",
            "variables": '{"d": "d1"}',
            "extensions": '{"cost": true}',
        }
        headers = {"Authorization": f"Bearer {system.secret}"}
        answer = await api.client.get("/graphql", params=parameters, headers=headers)
        assert answer.json()["data"] == {"apiKeys": {"totalCount": 1}}
        assert answer.json()["extensions"]["cost"] > 0

    async def test_head_has_the_headers_of_get_and_no_body(self, api: Api) -> None:
        system = await api.make()
        authorization = {"Authorization": f"Bearer {system.secret}", "X-Request-ID": "one"}
        async with listening(api.app) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
            for path, accept in (
                (f"/graphql?query={TYPENAME}", "application/json"),
                ("/graphql?query={", "application/graphql-response+json"),
                ("/graphql?query=mutation{__typename}", "application/json"),
                ("/graphql", "text/html"),
                ("/livez", "*/*"),
                ("/readyz", "*/*"),
                ("/identity/v1/openapi.json", "*/*"),
            ):
                headers = authorization | {"Accept": accept}
                get, head = [await client.request(method, path, headers=headers) for method in ("GET", "HEAD")]
                assert (get.status_code, dict(get.headers) | {"date": ""}) == (
                    head.status_code,
                    dict(head.headers) | {"date": ""},
                ), path
                assert (len(head.content), len(get.content)) == (0, int(get.headers["Content-Length"]))

    @pytest.mark.parametrize("query", ["mutation { __typename }", "query A { __typename } mutation B { __typename }"])
    async def test_get_runs_no_mutation(self, api: Api, query: str) -> None:
        answer = await api.client.get("/graphql", params={"query": query, "operationName": "B" if "B" in query else ""})
        refusal(answer, 405)
        assert answer.headers["Allow"] == "POST"

    @pytest.mark.parametrize(
        "parameters",
        [
            "",
            "query=",
            "variables={",
            "query={__typename}&variables=[]",
            "query={__typename}&extensions=1",
            "query={__typename}&variables={%22a%22:",
            "query=%ff&variables=%ff",
            "query={__typename}&query={__typename}",
        ],
    )
    async def test_a_get_of_odd_parameters_is_refused(self, api: Api, parameters: str) -> None:
        answer = await api.client.get(f"/graphql?{parameters}", headers={"Accept": GRAPHQL_JSON})
        assert answer.status_code == 400
        assert "data" not in answer.json()


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"1",
            b'"x"',
            b"null",
            b"true",
            b"[]",
            b"{}",
            b"{",
            b'{"query": 1}',
            b'{"query": null}',
            b'{"query": ["{ __typename }"]}',
            b'{"query": "{ __typename }", "variables": []}',
            b'{"query": "{ __typename }", "variables": "x"}',
            b'{"query": "{ __typename }", "extensions": 1}',
            b'{"query": "{ __typename }", "operationName": 1}',
            b'{"query": "{ __typename }"} garbage',
            b'{"query": "{ __typename }"}{}',
            b'{"query": "\xff"}',
            b'{"query": "\xed\xa0\x80"}',
            b'{"query": "\\ud800"}',
            b"\xef\xbb\xbf" + b'{"query": "{ __typename }"}',
            '{"query": "{ __typename }"}'.encode("utf-16"),
            b'{"query": "{ __typename }", "variables": {"a": NaN}}',
            b"[" * 100_000 + b"]" * 100_000,
            b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 40_000 + b"1" + b"}" * 40_000 + b"}",
        ],
        ids=lambda body: body[:50].decode("latin-1") or "nothing",
    )
    async def test_one_that_is_no_request_is_refused(self, api: Api, body: bytes) -> None:
        for accept in (GRAPHQL_JSON, "application/json"):
            answer = await post(api, body, Accept=accept)
            refusal(answer, 400)
            assert answer.headers["Content-Type"].startswith(accept)

    async def test_a_batch_is_refused(self, api: Api) -> None:
        assert "one" in refusal(await post(api, json.dumps([{"query": TYPENAME}] * 2)), 400)

    async def test_null_and_unknown_entries_are_as_absent(self, api: Api) -> None:
        body = {"query": TYPENAME, "variables": None, "operationName": None, "extensions": None, "more": [1]}
        assert (await post(api, json.dumps(body))).json() == DATA

    async def test_of_an_entry_that_comes_twice_the_last_counts(self, api: Api) -> None:
        assert (await post(api, '{"query": "{", "query": "{ __typename }"}')).json() == DATA

    async def test_one_over_the_limit_is_refused_while_it_is_read(self, api: Api) -> None:
        read = 0

        async def body() -> Any:
            nonlocal read
            for _ in range(1_000):
                read += 10_000
                yield b" " * 10_000

        answer = await api.client.post("/graphql", content=body(), headers={"Content-Type": "application/json"})
        assert str(api.settings.max_body_bytes) in refusal(answer, 413)
        assert (await post(api, json.dumps({"query": TYPENAME}) + " " * 200_000)).json() == DATA


class TestIds:
    @pytest.mark.parametrize("given", ["abc", "0193-a_b.C", "x" * 128])
    async def test_a_request_keeps_the_id_that_it_has(self, api: Api, given: str) -> None:
        answer = await api.send(TYPENAME, None, None, **{"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == given

    @pytest.mark.parametrize("given", ["", " ", "x" * 129, "a b", "<b>", "a\xe9", 'a"', "a,b"])
    async def test_a_request_without_one_that_can_be_is_given_one(self, api: Api, given: str) -> None:
        headers = [(b"X-Request-ID", given.encode("latin-1"))]
        answer = await api.client.post("/graphql", json={"query": TYPENAME}, headers=headers)
        again = await api.send(TYPENAME)
        assert len(answer.headers["X-Request-ID"]) == 32
        assert answer.headers["X-Request-ID"] != again.headers["X-Request-ID"]


def hash_of(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()


async def persisted(api: Api, sha: str, query: str | None = None, by: Person | None = None) -> Any:
    body = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha}}}
    if query is not None:
        body["query"] = query  # type: ignore[assignment]
    return (await post(api, json.dumps(body), by)).json()


def code_of(answer: Any) -> str:
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])


class TestAutomaticPersistedQueries:
    async def test_a_miss_is_told_in_the_words_that_clients_know(self, api: Api) -> None:
        answer = await persisted(api, hash_of(TYPENAME))
        assert answer == {
            "errors": [{"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}]
        }

    async def test_what_a_caller_sent_once_runs_by_its_hash(self, api: Api) -> None:
        query = "query($d: ID!) { apiKeys(input: {domainId: $d}) { totalCount } }"
        system = await api.make()
        body = {"query": query, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(query)}}}
        body["variables"] = {"d": "d1"}
        first = await post(api, json.dumps(body), system)
        del body["query"]
        by_post = await post(api, json.dumps(body), system)
        parameters = {name: json.dumps(body[name]) for name in ("extensions", "variables")}
        headers = {"Authorization": f"Bearer {system.secret}", "Accept": "*/*"}
        by_get = await api.client.get("/graphql", params=parameters, headers=headers)
        assert first.json() == by_post.json() == by_get.json() == {"data": {"apiKeys": {"totalCount": 1}}}
        assert by_get.headers["Content-Type"].startswith("application/json")

    async def test_a_hash_of_another_text_is_refused(self, api: Api) -> None:
        system = await api.make()
        assert code_of(await persisted(api, hash_of("{ x }"), TYPENAME, system)) == "BAD_REQUEST"
        assert code_of(await persisted(api, hash_of("{ x }"), None, system)) == "PERSISTED_QUERY_NOT_FOUND"
        assert code_of(await persisted(api, hash_of(TYPENAME), None, system)) == "PERSISTED_QUERY_NOT_FOUND"

    async def test_only_valid_documents_of_callers_are_kept(self, api: Api) -> None:
        system = await api.make()
        assert code_of(await persisted(api, hash_of("{ x }"), "{ x }", system)) == "GRAPHQL_VALIDATION_FAILED"
        assert code_of(await persisted(api, hash_of("{ x }"), None, system)) == "PERSISTED_QUERY_NOT_FOUND"
        assert await persisted(api, hash_of(TYPENAME), TYPENAME) == DATA
        assert code_of(await persisted(api, hash_of(TYPENAME))) == "PERSISTED_QUERY_NOT_FOUND"

    async def test_the_store_is_bounded_and_drops_what_is_used_least(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents, "STORED_DOCUMENTS", 3)
        system = await api.make()
        queries = [f"{{ a{n}: __typename }}" for n in range(4)]
        for query in queries:
            await persisted(api, hash_of(query), query, system)
            await persisted(api, hash_of(queries[0]), None, system)
        known = ["data" in await persisted(api, hash_of(query), None, system) for query in queries]
        assert known == [True, False, True, True]

    @pytest.mark.parametrize(
        "extension", ["x", [], 1, {"version": 2, "sha256Hash": "x"}, {"version": 1}, {"version": 1, "sha256Hash": 1}]
    )
    async def test_an_extension_of_another_form_is_refused(self, api: Api, extension: Any) -> None:
        body = {"query": TYPENAME, "extensions": {"persistedQuery": extension}}
        answer = await post(api, json.dumps(body))
        if extension:
            refusal(answer, 400)


ALLOWED = "query Allowed { __typename }"


class TestTrustedDocuments:
    @pytest.mark.parametrize(
        "manifest",
        [
            {
                "format": "apollo-persisted-query-manifest",
                "version": 1,
                "operations": [{"id": "abc", "name": "Allowed", "type": "query", "body": ALLOWED}],
            },
            {"abc": ALLOWED},
        ],
        ids=["Apollo's", "Relay's"],
    )
    async def test_the_manifest_s_operations_run_and_no_others(self, api: Api, tmp_path: Path, manifest: Any) -> None:
        file = tmp_path / "manifest.json"
        file.write_text(json.dumps(manifest))
        async with running(api.settings.model_copy(update={"trusted_documents": file})) as trusting:
            user = await trusting.make("USER")
            for body in (
                {"documentId": "abc"},
                {"query": ALLOWED},
                {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "abc"}}},
            ):
                assert (await post(trusting, json.dumps(body), user)).json() == DATA
            assert (await trusting.client.get("/graphql", params={"documentId": "abc"})).json() == DATA
            for by in (user, None):
                other = await post(trusting, json.dumps({"query": TYPENAME}), by)
                assert code_of(other.json()) == "PERSISTED_QUERY_NOT_SUPPORTED"
            assert code_of(await persisted(trusting, hash_of(TYPENAME), TYPENAME, user)) == (
                "PERSISTED_QUERY_NOT_SUPPORTED"
            )
            assert code_of(await persisted(trusting, "abcd", None, user)) == "PERSISTED_QUERY_NOT_FOUND"

    async def test_a_trusted_document_has_the_limits_of_others(self, api: Api, tmp_path: Path) -> None:
        file = tmp_path / "manifest.json"
        filtered = 'query($f: APIKeyFilter) { apiKeysConnection(domainId: "d1", filter: $f) { totalCount } }'
        counted = "query($i: APIKeyStatQuery!) { apiKeyStats(input: $i) }"
        long = " ".join(["{", *["__typename"] * 2_000, "}"])
        file.write_text(json.dumps({"filtered": filtered, "counted": counted, "long": long}))
        async with running(api.settings.model_copy(update={"trusted_documents": file})) as trusting:
            user = await trusting.make("USER", "d1", "u1")

            async def code(document: str, variables: Any, by: Person | None = user) -> str:
                body = json.dumps({"documentId": document, "variables": variables})
                return code_of((await post(trusting, body, by)).json())

            objects: dict[str, Any] = {"or": [{}] * 1_001}
            assert await code("filtered", {"f": objects}) == "BAD_USER_INPUT"  # an input object counts as 10
            assert await code("filtered", {"f": {"or": [{}] * 60_000}}, None) == "BAD_USER_INPUT"
            assert await code("filtered", {"f": {"or": ["x"]}}, None) == "UNAUTHENTICATED"
            assert await code("counted", {"i": {"domainId": "d1", "query": objects}}) == "BAD_USER_INPUT"
            assert await code("long", {}) == "GRAPHQL_PARSE_FAILED"
            few = await post(trusting, json.dumps({"documentId": "filtered", "variables": {"f": {}, "x": 1}}), user)
            assert few.json()["data"]["apiKeysConnection"]["totalCount"] == 1

    async def test_keys_of_gateways_are_exempt_from_the_manifest_unless_it_is_for_everyone(
        self, api: Api, tmp_path: Path
    ) -> None:
        file = tmp_path / "manifest.json"
        file.write_text(json.dumps({"abc": ALLOWED}))
        manifest = {"trusted_documents": file}
        other = json.dumps({"query": "{ other: __typename }"})
        for role in ("VERIFIER", "DOMAIN_OWNER", "SYSTEM"):
            by = await api.make(role)
            async with running(api.settings.model_copy(update=manifest)) as trusting:
                assert (await post(trusting, other, by)).json() == {"data": {"other": "Query"}}
                assert (await post(trusting, json.dumps({"documentId": "abc"}), by)).json() == DATA
                # Its hashes are not registered, so a client is told to send the text alone.
                text = "{ hashed: __typename }"
                assert code_of(await persisted(trusting, hash_of(text), None, by)) == "PERSISTED_QUERY_NOT_SUPPORTED"
                assert await persisted(trusting, hash_of(text), text, by) == {"data": {"hashed": "Query"}}
                # What an exempt key has run is not open to others.
                user = await trusting.make("USER")
                for body in (other, json.dumps({"documentId": hash_of(text)})):
                    assert code_of((await post(trusting, body, user)).json()).startswith("PERSISTED_QUERY_NOT_")
            async with running(
                api.settings.model_copy(update=manifest | {"trusted_documents_for": "everyone"})
            ) as all_:
                assert code_of((await post(all_, other, by)).json()) == "PERSISTED_QUERY_NOT_SUPPORTED"
                assert (await post(all_, json.dumps({"documentId": "abc"}), by)).json() == DATA

    @pytest.mark.parametrize("text", [None, "{", "[]", "1", '{"a": 1}', '{"operations": [{"id": "a"}]}'])
    async def test_a_manifest_that_cannot_be_read_stops_the_start(
        self, api: Api, tmp_path: Path, text: str | None
    ) -> None:
        file = tmp_path / "manifest.json"
        if text is not None:
            file.write_text(text)
        with pytest.raises(StartError, match=r"manifest\.json"):
            async with running(api.settings.model_copy(update={"trusted_documents": file})):
                pass


class TestOperations:
    async def test_one_of_several_must_be_named(self, api: Api) -> None:
        query = "query A { __typename } query B { b: __typename }"
        for name, code in ((None, "OPERATION_RESOLUTION_FAILURE"), ("C", "OPERATION_RESOLUTION_FAILURE"), ("B", "")):
            answer = (await post(api, json.dumps({"query": query, "operationName": name}))).json()
            assert code_of(answer) == code if code else answer == {"data": {"b": "Query"}}

    async def test_one_takes_no_longer_than_its_deadline(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        async with running(api.settings.model_copy(update={"operation_timeout_seconds": 0.3})) as hurried:
            system = await hurried.make()
            query = '{ apiKeys(input: {domainId: "d1"}) { totalCount } }'
            assert await hurried.data(query, by=system)
            # As when the driver's threads hang: no deadline of its own ends it.
            monkeypatch.setattr(hurried.app.state.api_keys.lists, "page", hang)
            answer = await hurried.send(query, by=system)
            refusal(answer, 504, "DEADLINE_EXCEEDED")
            streamed = await hurried.send(query, by=system, Accept="text/event-stream")
            assert "DEADLINE_EXCEEDED" in streamed.text
            assert streamed.text.endswith("event: complete\ndata:\n\n")

    async def test_a_stream_tells_why_a_request_is_refused(self, api: Api) -> None:
        system = await api.make()
        query = '{ apiKeys(input: {domainId: "d1", query: {page: {limit: 1000}}}) { results { id name role } } }'
        async with running(api.settings.model_copy(update={"max_cost": 1000})) as dear:
            answer = await dear.send(query, by=system, Accept="text/event-stream")
        assert "RESOURCE_EXHAUSTED" in answer.text
        assert answer.text.endswith("event: complete\ndata:\n\n")

    async def test_an_answer_has_at_most_ten_errors_and_the_last_says_that_there_are_more(self, api: Api) -> None:
        more = "There are more errors; they are left out."
        system = await api.make()
        errors = (await api.run("{ " + " ".join(f"f{n}" for n in range(15)) + " }", by=system))["errors"]
        assert len(errors) == 10
        assert errors[-1] == {"message": more, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
        assert more not in str(await api.run("{ " + " ".join(f"f{n}" for n in range(10)) + " }", by=system))
        hidden = 'apiKey(input: {domainId: "d1", apiKeyId: "k", only: ["name"]}) { id }'
        for number in (10, 15):
            answer = await api.run("{ " + " ".join(f"a{n}: {hidden}" for n in range(number)) + " }", by=system)
            assert len(answer["errors"]) == 10
            assert (answer["errors"][-1]["message"] == more) == (number == 15)
            assert answer["errors"][-1]["extensions"]["code"] == "INVALID_ARGUMENT"
        fields = " ".join(f'a{n}: apiKey(input: {{domainId: "d1", apiKeyId: "k"}}) {{ id }}' for n in range(15))
        answer = await api.run(f"{{ {fields} }}")
        assert len(answer["errors"]) == 10
        assert len(answer["data"]) == 15
        variables = {"i": {f"x{n}": n for n in range(25)}}
        answer = await api.run("query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }", variables)
        assert len(answer["errors"]) <= 10
        answer = await api.run("query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }", variables, system)
        assert len(answer["errors"]) == 10
        assert answer["errors"][-1] == {"message": more, "extensions": {"code": "BAD_USER_INPUT"}}

    @pytest.mark.parametrize(
        "query",
        [
            "{ apiKeyz }",
            "{ apiKey(inputs: 1) { i } }",
            "{ __typenam }",
            'mutation { createApiKey(input: {domain: "d"}) { id } }',
            "query($a: APIKeyInf) { __typename }",
            '{ apiKeys(input: {domainId: "d", state: ENABLE}) { totalCount } }',
        ],
    )
    async def test_no_name_is_suggested_where_the_schema_is_closed(self, api: Api, query: str) -> None:
        async with running(api.settings.model_copy(update={"introspection": "off"})) as closed:
            for by in (None, await api.make()):
                answer = await closed.run(query, by=by)
                assert answer["errors"]
                assert "mean" not in str(answer)

    async def test_a_long_name_is_not_repeated_whole(self, api: Api) -> None:
        for query, variables in (
            ("{ " + "x" * 10_000 + " }", None),
            ("query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }", {"i": {"x" * 10_000: 1}}),
            ("query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }", {"i": "x" * 10_000}),
        ):
            for error in (await api.run(query, variables))["errors"]:
                assert len(error["message"]) <= 300

    async def test_values_are_written_as_json_writes_them(self, api: Api) -> None:
        query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"
        for value in (None, [None, True], {"domainId": None}, {"domainId": {"a": False}}):
            answer = await api.run(query, {"i": value})
            assert not {"None", "True", "False"} & set(str(answer["errors"][0]["message"]).replace(".", " ").split())

    async def test_the_cost_is_told_on_request(self, api: Api) -> None:
        system = await api.make()
        query = '{ apiKeys(input: {domainId: "d1", query: {page: {limit: 7}}}) { results { apiKeyId } } }'
        assert "extensions" not in await api.run(query, by=system)
        body = {"query": query, "extensions": {"cost": True}}
        cost = (await post(api, json.dumps(body), system)).json()["extensions"]["cost"]
        dearer = {**body, "query": query.replace("7", "70")}
        assert (await post(api, json.dumps(dearer), system)).json()["extensions"]["cost"] == cost + 63 * 2


async def hang(*_: Any, **__: Any) -> None:
    await asyncio.sleep(60)


async def test_batches_run_where_they_are_allowed_up_to_their_limit(api: Api) -> None:
    key = await api.make()
    headers = {"Authorization": f"Bearer {key.secret}"}
    one = {"query": "{ __typename }"}
    async with running(api.settings.model_copy(update={"max_batch": 2})) as other:
        answer = await other.client.post("/graphql", json=[one, {"query": "{ nothing }"}], headers=headers)
        good, bad = answer.json()
        assert good == {"data": {"__typename": "Query"}}
        assert bad["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        for batch in ([], [one] * 3, [1]):
            refused = await other.client.post("/graphql", json=batch, headers=headers)
            assert refused.status_code == 400
            assert refused.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
