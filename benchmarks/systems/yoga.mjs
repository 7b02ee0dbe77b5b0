// GraphQL Yoga 5 on Node's own server. Its cache of parsed and validated documents is on by default
// (the-guild.dev/graphql/yoga-server/docs/features/parsing-and-validation-caching).
import { createServer } from 'node:http'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { parse } from 'graphql'
import { createYoga } from 'graphql-yoga'
import { context, port, resolvers, typeDefs } from './peers.mjs'

const schema = buildSubgraphSchema([{ typeDefs: parse(typeDefs), resolvers: resolvers(1) }])
createServer(createYoga({ schema, context, logging: false, graphiql: false, landingPage: false })).listen(port, '127.0.0.1')
