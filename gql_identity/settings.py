"""Every setting: its default, its range and its purpose.

A command-line flag overrides an environment variable `GQL_IDENTITY_...`, which overrides the default.
"""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .issuers import OpenIDIssuer, check_issuer, read_issuers
from .origins import check_origin

PREFIX = "GQL_IDENTITY_"
PEPPER_CHARACTERS = 32

# The address that Kubernetes sets for a service, in a variable that may have the name of a setting.
KUBERNETES_URL = re.compile(r"(tcp|udp|sctp)://[^/\s]+:\d+")

PublicTo = Literal["public", "authenticated", "off"]
# Settings with several values, which commas separate.
LISTS = ("peppers_retired", "trusted_proxies", "cors_origins", "audiences")


class Settings(BaseSettings):
    """The settings of one process. Secrets are `SecretStr`, so that no repr or log shows one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes; all use one database.")
    mongo_uri: SecretStr | None = Field(
        None,
        description="The connection string of your MongoDB. Without it, an embedded database is started.",
    )
    data_dir: Path = Field(
        Path("gql-identity-data"),
        description="The directory for the embedded database, its password, the pepper and the first key.",
    )
    pepper: SecretStr | None = Field(
        None,
        validate_default=True,
        description=(
            f"The secret that key digests are made with, at least {PEPPER_CHARACTERS} characters. "
            "Required with a database of your own; the embedded one makes its own."
        ),
    )
    peppers_retired: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Earlier peppers, separated by commas. Their keys still work, and move to the new one when used.",
    )
    failed_credentials_per_minute: int = Field(
        60, ge=0, le=1_000_000, description="How many wrong keys one address may send in a minute; 0 is no limit."
    )
    requests_per_minute: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="How many requests one user's keys may make in a minute; 0 is no limit.",
    )
    creates_per_minute: int = Field(
        60,
        ge=0,
        le=1_000_000,
        description="How many keys one user's keys below SYSTEM may make in a minute; 0 is no limit.",
    )
    default_lifetime_days: int = Field(
        0, ge=0, le=36_500, description="After how many days a key ends that is created without an end; 0 is never."
    )
    max_lifetime_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="How far ahead the end of a key may be when it is created or changed; 0 is no limit.",
    )
    audit_days: int = Field(
        400, ge=1, le=36_500, description="How long the audit log keeps an entry. It holds for entries from then on."
    )
    usage_days: int = Field(
        90, ge=0, le=400, description="How many days the counts of keys' uses are kept; 0 counts nothing."
    )
    issuer: str | None = Field(
        None,
        description=(
            "The service's own URL, such as `https://keys.example`, which is the issuer of its tokens. "
            "Without it, the service makes no tokens."
        ),
    )
    audiences: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description=(
            "The audiences that tokens may have, separated by commas. The first is the default, and stands for "
            "this service; without it, the issuer."
        ),
    )
    signing_algorithm: Literal["RS256", "ES256"] = Field(
        "RS256", description="The algorithm of new signing keys: `RS256` or `ES256`."
    )
    signing_key_file: Path | None = Field(
        None,
        description=(
            "A private key (PEM, JSON Web Key, or a set of them) that signs tokens. "
            "Without it, the service makes its own."
        ),
    )
    issuers: Annotated[tuple[OpenIDIssuer, ...], NoDecode] = Field(
        (),
        description="OpenID issuers whose people may call the service, as a JSON list (above).",
    )
    scopes_in_sdl: bool = Field(
        False,
        description=(
            "Whether fields of the subgraph's schema have `@requiresScopes`, for gateways that enforce it. "
            "They then refuse keys without a list of scopes."
        ),
    )
    rates_store: SecretStr = Field(
        SecretStr("memory://"),
        description="Where rates are counted, as a URI of the library `limits`. In memory, each worker counts alone.",
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        description="Addresses or networks, separated by commas, whose `X-Forwarded-For` header is trusted.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins, separated by commas, whose pages may call the API, such as `https://app.example`.",
    )
    trusted_documents: Path | None = Field(
        None,
        description="A manifest of operations (Apollo's, or an object of ids and texts). Only these operations run.",
    )
    trusted_documents_for: Literal["users", "everyone"] = Field(
        "users",
        description="The clients that the manifest limits: `users` are clients without a key or with one of role USER.",
    )
    introspection: PublicTo | None = Field(
        None,
        description=(
            "The clients that may read the schema. By default all on a loopback address, "
            "elsewhere and through a proxy callers with a key."
        ),
    )
    graphiql: bool | None = Field(
        None,
        description="Whether a browser is shown GraphiQL at `/graphql` and the console at `/console`. By default where "
        "introspection is public.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="The format of a log line: `auto` is `console` on a terminal, `json` elsewhere."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="The port for Prometheus, on the same address, with the path `/metrics`; 0 takes a free one.",
    )
    traces_endpoint: str | None = Field(
        None,
        description="An OTLP collector that traces are sent to over HTTP, such as `http://localhost:4318`.",
    )
    database_timeout_seconds: float = Field(
        5.0, ge=0.1, le=300, description="How long one database operation may take."
    )
    compiled_execution: bool = Field(
        True, description="Whether documents are compiled; if false, graphql-core executes all of them."
    )
    operation_timeout_seconds: float = Field(
        10.0, ge=0.1, le=300, description="How long one request may take in total."
    )
    body_timeout_seconds: float = Field(10.0, ge=0.1, le=300, description="How long a request body may take to arrive.")
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        le=3_600,
        description="How long an idle connection stays open: longer than a proxy keeps its own, often 60 s.",
    )
    shutdown_delay_seconds: float = Field(
        0.0,
        ge=0,
        le=300,
        description="How long the service goes on after SIGTERM while `/readyz` is 503, for load balancers to notice.",
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="The most open connections of one worker; 0 is as many as its file descriptors allow.",
    )
    max_concurrent_requests: int = Field(
        200,
        ge=1,
        le=100_000,
        description="The most requests of one user's keys, or of one address without a key, at once in one worker.",
    )
    max_body_bytes: int = Field(256_000, ge=1_000, le=100_000_000, description="The largest request body.")
    max_page_size: int = Field(1_000, ge=1, le=100_000, description="The most results in one page, and without a page.")
    max_conditions: int = Field(100, ge=1, le=10_000, description="The most conditions in one query.")
    max_list_values: int = Field(1_000, ge=1, le=100_000, description="The most values in one list of a query.")
    max_pattern_length: int = Field(
        256, ge=1, le=1_000, description="The longest pattern or search text, in characters."
    )
    max_stages: int = Field(20, ge=1, le=1_000, description="The most stages in one statistic.")
    max_gathered_values: int = Field(
        5_000,
        ge=1,
        le=10_000_000,
        description="The most values that `push` and `add_to_set` may gather in one statistic: keys times fields.",
    )
    max_answer_bytes: int = Field(
        4_000_000,
        ge=10_000,
        le=100_000_000,
        description="The most bytes that the statistics of one request may return together.",
    )
    max_response_bytes: int = Field(
        32_000_000,
        ge=1_000_000,
        le=1_000_000_000,
        description="The most bytes of a response; of a batch, those of all its responses together.",
    )
    max_batch: int = Field(0, ge=0, le=1_000, description="The most operations in one HTTP request; 0 refuses batches.")
    max_values: int = Field(
        10_000,
        ge=100,
        le=1_000_000,
        description="The most values in the variables of a request, or in a REST body; an input object counts as 10.",
    )
    max_tokens: int = Field(
        1_500,
        ge=100,
        le=100_000,
        description="The most tokens in one document; also the most comments. Its characters may be 50 times as many.",
    )
    max_depth: int = Field(
        12, ge=1, le=50, description="How deeply fields may be nested in a document, except in introspection."
    )
    max_introspection_depth: int = Field(
        3,
        ge=1,
        le=10,
        description="How deeply introspection's lists may be nested; clients' introspection queries nest three.",
    )
    max_aliases: int = Field(30, ge=0, le=10_000, description="The most aliases in one operation.")
    max_root_fields: int = Field(20, ge=1, le=1_000, description="The most fields at the top of one operation.")
    max_directives: int = Field(50, ge=0, le=10_000, description="The most directives in one operation.")
    max_repeated_fields: int = Field(
        30, ge=1, le=1_000, description="How often one field of the response may be selected, across all fragments."
    )
    max_cost: int = Field(
        100_000,
        ge=1,
        le=100_000_000,
        description="The highest cost of an operation, computed before it runs: values of its response, and its reads.",
    )

    @field_validator("port", mode="before")
    @classmethod
    def _not_from_kubernetes(cls, value: Any) -> Any:
        """Replace the address that Kubernetes sets for a service named gql-identity by the default port."""
        if isinstance(value, str) and KUBERNETES_URL.fullmatch(value):
            return cls.model_fields["port"].default
        return value

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("pepper", "peppers_retired")
    @classmethod
    def _long_enough(cls, value: Any) -> Any:
        for pepper in value if isinstance(value, tuple) else (value,):
            if pepper is not None:
                check_pepper(pepper.get_secret_value())
        return value

    @field_validator("pepper")
    @classmethod
    def _given_with_a_database_of_ones_own(cls, value: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if value is None and others.data.get("mongo_uri") is not None:
            raise ValueError("is required with a database of your own; make one with `openssl rand -hex 32`")
        return value

    @field_validator("max_lifetime_days")
    @classmethod
    def _holds_for_the_default_too(cls, value: int, others: ValidationInfo) -> int:
        default = others.data.get("default_lifetime_days", 0)
        if 0 < value < default:
            raise ValueError(
                f"it is {value}, and {PREFIX}DEFAULT_LIFETIME_DAYS is {default}: keys created without an end would end "
                f"later than allowed. Give a default of at most {value}, or a higher limit"
            )
        return value

    @field_validator("mongo_uri")
    @classmethod
    def _is_a_mongo_uri(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("a MongoDB connection string starts with mongodb:// or mongodb+srv://")
        return value

    @field_validator("traces_endpoint")
    @classmethod
    def _is_a_collector(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("give the URL of an OTLP collector without its path, such as http://localhost:4318")
            if parts.path.rstrip("/").endswith("/v1/traces"):
                raise ValueError("leave out /v1/traces, which is added")
            if "@" in parts.netloc:  # it is logged at the start
                raise ValueError("give credentials by OTEL_EXPORTER_OTLP_HEADERS")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        mistakes = []
        for origin in value:
            try:
                check_origin(origin)
            except ValueError as error:
                mistakes.append(str(error))
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return value

    @field_validator("issuers", mode="before")
    @classmethod
    def _read_issuers(cls, value: Any) -> Any:
        return read_issuers(value) if isinstance(value, str) else value

    @field_validator("issuers")
    @classmethod
    def _are_of_others(cls, value: tuple[OpenIDIssuer, ...], others: ValidationInfo) -> tuple[OpenIDIssuer, ...]:
        if others.data.get("issuer") in [one.issuer for one in value]:
            raise ValueError("it names this service itself, whose tokens are accepted anyway")
        return value

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, value: str | None) -> str | None:
        if value is not None:
            check_issuer(value)
        return value

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect to the service."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @property
    def introspection_for(self) -> PublicTo:
        """Who may read the schema by a request that no proxy passed on, with the default resolved."""
        return self.introspection or ("public" if self.on_loopback else "authenticated")

    @property
    def introspection_through_proxies(self) -> PublicTo:
        """Who may read the schema through a proxy: its clients are not on this machine."""
        return self.introspection or "authenticated"

    @property
    def shows_graphiql(self) -> bool:
        """Whether a browser is shown GraphiQL if no proxy is between, with the default resolved."""
        return self.introspection_for == "public" if self.graphiql is None else self.graphiql

    @property
    def shows_graphiql_through_proxies(self) -> bool:
        """Whether a browser behind a proxy is shown GraphiQL."""
        return self.introspection_through_proxies == "public" if self.graphiql is None else self.graphiql

    @property
    def peppers(self) -> tuple[str, ...]:
        """The current pepper, then the retired ones that are still accepted."""
        current = () if self.pepper is None else (self.pepper.get_secret_value(),)
        return current + tuple(pepper.get_secret_value() for pepper in self.peppers_retired)


def check_pepper(pepper: str) -> None:
    """Raise ValueError for a text that is not a valid pepper."""
    if "," in pepper or pepper != pepper.strip():
        # Retired peppers are a list separated by commas, so such a pepper could never be retired.
        raise ValueError("a pepper has no comma, and no white space at either end")
    if len(pepper) < PEPPER_CHARACTERS:
        raise ValueError(f"a pepper has at least {PEPPER_CHARACTERS} characters; make one with `openssl rand -hex 32`")
