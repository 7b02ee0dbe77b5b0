"""GraphQL requests."""

from typing import Any, NamedTuple

from ..errors import BadRequest


class Request(NamedTuple):
    """A GraphQL request (GraphQL over HTTP, section 5) whose form was checked."""

    query: str | None
    document_id: str | None  # of a persisted document: its SHA-256, or its id in the manifest
    operation_name: str | None
    variables: dict[str, Any]
    wants_cost: bool = False


def read_request(fields: Any) -> Request:
    """Read a request from a JSON value. Raises BadRequest."""
    if not isinstance(fields, dict):
        raise BadRequest("Send one JSON object: {query, variables, operationName}.")
    query, name, document_id = fields.get("query"), fields.get("operationName"), fields.get("documentId")
    variables, extensions = fields.get("variables"), fields.get("extensions")
    for part, value, kind in (
        ("query", query, str),
        ("operationName", name, str),
        ("documentId", document_id, str),
        ("variables", variables, dict),
        ("extensions", extensions, dict),
    ):
        if value is not None and not isinstance(value, kind):
            raise BadRequest(f"`{part}` is {'a string' if kind is str else 'an object'} or null.")
    if persisted := (extensions or {}).get("persistedQuery"):
        match persisted:
            case {"version": 1, "sha256Hash": str(document_id)}:
                pass
            case _:
                raise BadRequest("`extensions.persistedQuery` is {version: 1, sha256Hash: ...}.")
    if query is None and document_id is None:
        raise BadRequest("`query` is missing: give the document as a string.")
    return Request(query, document_id, name or None, variables or {}, (extensions or {}).get("cost") is True)
