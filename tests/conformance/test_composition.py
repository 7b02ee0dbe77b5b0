"""The subgraph composes, by both composers that there are, and needs no hint for it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gql_identity.cli import main
from gql_identity.schema.costs import WEIGHTS
from gql_identity.schema.federation import schema
from gql_identity.settings import Settings
from tests.conftest import Api, missing_tool
from tests.processes import ROOT

NPM = Path(__file__).parent / "npm"
LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])'
# Each description differs from ours.
DESCRIBED = f"""{LINK}
    "A." type Query {{ "A." me: User }}
    "A." type Mutation {{ "A." rename(name: String): User }}
    "A." type Subscription {{ "A." renamed: User }}
    "A." scalar JSON @specifiedBy(url: "https://a.example/json")
    "A." scalar DateTime @specifiedBy(url: "https://a.example/time")
    "A." type User @key(fields: "domainId userId") {{
        "A." domainId: ID! "A." userId: ID! "A." email: String! "A." domain: Domain
        "A." seenAt: DateTime "A." more: JSON }}
    "A." type Domain @key(fields: "domainId") {{ "A." domainId: ID! "A." title: String! "A." users: UserConnection }}
    "A." type UserConnection {{ "A." nodes: [User!]! "A." pageInfo: PageInfo! }}
    "A." type PageInfo @shareable {{
        "A." hasNextPage: Boolean! "A." hasPreviousPage: Boolean! "A." startCursor: String "A." endCursor: String }}"""
USERS = f"""{LINK}
    type Query {{ me: User users: [User!]! }}
    type User @key(fields: "domainId userId") {{ domainId: ID! userId: ID! email: String! domain: Domain }}
    type Domain @key(fields: "domainId") {{ domainId: ID! title: String! }}"""
# Names that many schemas have, each with a meaning of its own.
NAMESAKES = f"""{LINK}
    type Query {{ node(id: ID!): Node orders(filter: Filter, sort: Sort, page: Page): OrderConnection stats: JSON }}
    type Mutation {{ createOrder(input: Query_): Order }}
    type Subscription {{ orderChanged: Order }}
    interface Node {{ id: ID! createdAt: DateTime! }}
    enum State {{ OPEN PAID SHIPPED }}
    enum Role {{ BUYER SELLER }}
    enum Operator {{ PLUS MINUS }}
    input Filter {{ state: State role: Role }}
    input Sort {{ by: Operator }}
    input Page {{ number: Int! }}
    input Query_ {{ text: String! }}
    scalar JSON
    scalar DateTime
    type Order implements Node @key(fields: "id") {{ id: ID! createdAt: DateTime! state: State! }}
    type OrderConnection {{ edges: [OrderEdge!]! pageInfo: PageInfo! }}
    type OrderEdge {{ cursor: String! node: Order! }}
    type PageInfo @shareable {{
        hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }}"""


def compose(**subgraphs: str) -> Any:
    """What each composer makes of the subgraphs."""
    for name in ("@apollo/composition", "@theguild/federation-composition"):
        if shutil.which("node") is None or not (NPM / "node_modules" / name).exists():
            missing_tool(f"{name} (npm ci in tests/conformance/npm)")
    named = [{"name": name, "sdl": sdl} for name, sdl in subgraphs.items()]
    command = ["node", "compose.mjs"]
    ran = subprocess.run(
        command, cwd=NPM, input=json.dumps(named), capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(ran.stdout)


@pytest.fixture
async def sdl(api: Api) -> str:
    return str((await api.data("{ _service { sdl } }"))["_service"]["sdl"])


async def test_the_command_prints_what_gateways_are_told(
    sdl: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        main(["schema", "--subgraph"])
    printed = capsys.readouterr().out
    assert printed == f"{sdl}\n"
    file = tmp_path / "api-keys.graphql"
    for text, code, said in ((printed, 0, ""), ("other", 1, "gql-identity schema --subgraph")):
        file.write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["schema", "--subgraph", "--check", str(file)])
        assert ended.value.code == code
        assert said in capsys.readouterr().err


async def test_it_composes_with_a_users_subgraph(sdl: str) -> None:
    for composer, composed in compose(keys=sdl, users=USERS).items():
        assert composed["errors"] == composed["hints"] == [], composer
        assert "apiKeyStats" in composed["supergraph"]


async def test_it_composes_beside_namesakes_of_everything(sdl: str) -> None:
    for composer, composed in compose(keys=sdl, users=USERS, orders=NAMESAKES).items():
        assert composed["errors"] == [], composer
        assert "orderChanged" in composed["supergraph"]
        assert "apiKeyChanged" in composed["supergraph"]


async def test_it_leaves_the_description_of_shared_types_to_others(sdl: str) -> None:
    for composer, composed in compose(keys=sdl, users=DESCRIBED).items():
        assert composed["errors"] == composed["hints"] == [], composer
    assert '"""An API key."""' in sdl


async def test_the_example_composes_without_a_hint(sdl: str) -> None:
    users = (ROOT / "examples" / "gateway" / "users.graphql").read_text()
    for composer, composed in compose(keys=sdl, users=users).items():
        assert composed["errors"] == composed["hints"] == [], composer


async def test_it_tells_gateways_how_long_lists_are_and_what_statistics_cost(sdl: str) -> None:
    for composer, composed in compose(keys=sdl, users=USERS, orders=NAMESAKES).items():
        supergraph = composed["supergraph"]
        assert supergraph.count('slicingArguments: ["first", "last"]') == 4, composer
        assert f"assumedSize: {Settings.model_fields['max_page_size'].default}" in supergraph
        for field in ("Query.apiKeyStats", "Domain.apiKeyStats"):
            assert f"@cost(weight: {WEIGHTS[field] // 10})" in supergraph


async def test_it_composes_alone(sdl: str) -> None:
    for composer, composed in compose(keys=sdl).items():
        assert composed["errors"] == [], composer


def test_with_node_it_would_not() -> None:
    for composer, composed in compose(keys=schema.as_str(), orders=NAMESAKES).items():
        assert "node" in str(composed["errors"]), composer
