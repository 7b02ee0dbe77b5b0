// A supergraph of the service and a users subgraph, behind a gateway: `node gateway.mjs apollo|hive URL_OF_THE_SERVICE`.
// Prints the gateway's URL, and ends with its standard input. The Authorization header goes to the service alone.
import { composeServices } from '@apollo/composition';
import { ApolloGateway, RemoteGraphQLDataSource } from '@apollo/gateway';
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { parse } from 'graphql';
import { createServer } from 'node:http';

// Whatever the packages have to say: standard output is for the URL.
const print = console.log;
console.log = console.info = console.error;

const [kind, keysUrl] = process.argv.slice(2);
const listen = { port: 0, host: '127.0.0.1' };

const usersSdl = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])
  type Query {
    users: [User!]!
    "Whether an Authorization header came this far."
    seesAuthorization: Boolean!
  }
  type User @key(fields: "domainId userId") { domainId: ID! userId: ID! email: String! }
  type Domain @key(fields: "domainId") { domainId: ID! title: String! }
`;
const user = ({ domainId, userId }) => ({ domainId, userId, email: `${userId}@${domainId}.example` });
const users = new ApolloServer({
  schema: buildSubgraphSchema({
    typeDefs: parse(usersSdl),
    resolvers: {
      Query: {
        users: () => ['ann', 'bob', 'nobody'].map((userId) => user({ domainId: 'shop', userId })),
        seesAuthorization: (_, __, { authorization }) => authorization !== undefined,
      },
      User: { __resolveReference: user },
      Domain: { __resolveReference: ({ domainId }) => ({ domainId, title: domainId.toUpperCase() }) },
    },
  }),
});
const readAuthorization = async ({ req }) => ({ authorization: req.headers.authorization });
const { url: usersUrl } = await startStandaloneServer(users, { listen, context: readAuthorization });

const answer = await fetch(keysUrl, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ query: '{ _service { sdl } }' }),
});
const keysSdl = (await answer.json()).data._service.sdl;
const { supergraphSdl, errors } = composeServices([
  { name: 'keys', url: keysUrl, typeDefs: parse(keysSdl) },
  { name: 'users', url: usersUrl, typeDefs: parse(usersSdl) },
]);
if (errors) throw new AggregateError(errors, errors.map(String).join('\n'));

const gateways = {
  async apollo() {
    const gateway = new ApolloGateway({
      supergraphSdl,
      buildService: ({ name, url }) =>
        new RemoteGraphQLDataSource({
          url,
          willSendRequest({ request, context }) {
            if (name === 'keys' && context.authorization) {
              request.http.headers.set('authorization', context.authorization);
            }
          },
        }),
    });
    const server = new ApolloServer({ gateway });
    return (await startStandaloneServer(server, { listen, context: readAuthorization })).url;
  },
  async hive() {
    const { createGatewayRuntime } = await import('@graphql-hive/gateway');
    const gateway = createGatewayRuntime({
      supergraph: supergraphSdl,
      maskedErrors: false,
      logging: false,
      propagateHeaders: {
        fromClientToSubgraphs({ request, subgraphName }) {
          const authorization = request.headers.get('authorization');
          return subgraphName === 'keys' && authorization ? { authorization } : {};
        },
      },
    });
    const server = createServer(gateway);
    await new Promise((ready) => server.listen(listen.port, listen.host, ready));
    return `http://${listen.host}:${server.address().port}/graphql`;
  },
};
print(JSON.stringify({ url: await gateways[kind]() }));
process.stdin.on('end', () => process.exit(0)).resume();
