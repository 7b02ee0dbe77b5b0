// Apollo Server 5, standalone, with its subgraph package. Under NODE_ENV=production it keeps parsed and validated
// documents in a bounded cache and leaves stack traces out (apollographql.com/docs/apollo-server/api/apollo-server).
import { ApolloServer } from '@apollo/server'
import { startStandaloneServer } from '@apollo/server/standalone'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { parse } from 'graphql'
import { context, port, resolvers, typeDefs } from './peers.mjs'

const schema = buildSubgraphSchema([{ typeDefs: parse(typeDefs), resolvers: resolvers(1) }])
const server = new ApolloServer({ schema })
await startStandaloneServer(server, { listen: { port, host: '127.0.0.1' }, context: async () => context() })
