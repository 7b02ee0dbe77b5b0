// Mercurius on Fastify, every document compiled by its JIT at its first use (mercurius.dev/#/docs/api/options, `jit`).
import { buildFederationSchema } from '@mercuriusjs/federation'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { context, port, resolvers, typeDefs } from './peers.mjs'

const app = Fastify()
app.register(mercurius, { schema: buildFederationSchema(typeDefs), resolvers: resolvers(2), context, jit: 1 })
await app.listen({ port, host: '127.0.0.1' })
