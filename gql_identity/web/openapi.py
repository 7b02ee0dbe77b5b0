"""The OpenAPI document of REST (spec.openapis.org/oas/v3.1.1)."""

from functools import cache
from typing import Any

from ..errors import BadRequest, ServiceError, Unauthenticated
from ..version import version
from .bodies import JSON
from .json_messages import json_schemas, request_model
from .rest_operations import OPERATIONS

PREFIX = "/identity/v1"


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    models = {name: (request_model(operation.request), operation.answer()) for name, operation in OPERATIONS.items()}
    schemas = json_schemas([model for both in models.values() for model in both], "#/components/schemas/")
    statuses: dict[int, list[type[ServiceError]]] = {}
    for kind in ServiceError.__subclasses__():
        for status in (400, 408, 413, 415) if kind is BadRequest else (kind.status,):
            statuses.setdefault(status, []).append(kind)

    def operation(name: str) -> dict[str, Any]:
        request, answer = (
            {JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}} for model in models[name]
        )
        # Only operations on one key can return 404.
        required = models[name][0].model_fields.get("api_key_id")
        errors = {str(status) for status in statuses if status != 404 or (required and required.is_required())}
        return {
            "operationId": f"{name}_api_key",
            "summary": OPERATIONS[name].run.__doc__,
            "tags": ["api-key"],
            "requestBody": {"required": True, "content": request},
            "responses": {"200": {"description": "Done.", "content": answer}}
            | {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
        }

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gql_identity",
            "version": version(),
            "description": "API keys: the service `APIKey` of the package `spaceone.api.identity.v1`.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": "api-key", "description": "API keys."}],
        "paths": {f"{PREFIX}/api-key/{name}": {"post": operation(name)} for name in OPERATIONS},
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error_response(kinds) for status, kinds in sorted(statuses.items())},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The secret of an API key."}
            },
        },
    }


def _error_response(kinds: list[type[ServiceError]]) -> dict[str, Any]:
    members: dict[str, Any] = {
        "code": {"type": "string", "enum": [kind.code for kind in kinds]},
        "message": {"type": "string", "description": "For the person who sent the request."},
        "id": {"type": "string", "description": "With `INTERNAL`: what names the fault in the service's log."},
        "retry_after_seconds": {"type": "integer", "description": "With `RESOURCE_EXHAUSTED`: when to try again."},
        "path": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "The invalid part of the body: names, and positions in arrays.",
        },
        "missing_scopes": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The scopes that the key lacks for this.",
        },
        "api_key_id": {
            "type": "string",
            "description": "The key that may have been made, changed or deleted: the outcome is unknown.",
        },
    }
    error = {"type": "object", "required": ["code", "message"], "properties": members}
    schema = {"type": "object", "required": ["error"], "properties": {"error": error}}
    response: dict[str, Any] = {
        "description": " ".join((kind.__doc__ or "").partition("\n")[0] for kind in kinds),
        "content": {JSON: {"schema": schema}},
    }
    if Unauthenticated in kinds:
        response["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return response
