// What the three peers on Node share: the schema, and resolvers that ask the database as the service does, through
// MongoDB's own driver.
import { createHmac, randomBytes, randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import DataLoader from 'dataloader'
import { GraphQLScalarType } from 'graphql'
import { MongoClient } from 'mongodb'

export const typeDefs = readFileSync(new URL('schema.graphql', import.meta.url), 'utf8')
export const port = Number(process.env.BENCH_PORT)

const FIELDS = { _id: 1, created_at: 1, domain_id: 1, hint: 1, role: 1, state: 1, user_id: 1 }
const client = new MongoClient(process.env.BENCH_MONGO_URI)
await client.connect()
const keys = client.db().collection('api_keys', { writeConcern: { w: 'majority' } })

async function find(domainId, apiKeyId) {
  const document = await keys.findOne({ domain_id: domainId, _id: apiKeyId }, { projection: FIELDS })
  return document && key(document)
}

async function findMany(references) {
  const domains = [...new Set(references.map((one) => one.domainId))]
  const where = {
    domain_id: domains.length === 1 ? domains[0] : { $in: domains },
    _id: { $in: references.map((one) => one.apiKeyId) }
  }
  const documents = await keys.find(where, { projection: FIELDS }).toArray()
  const found = new Map(documents.map((document) => [`${document.domain_id} ${document._id}`, key(document)]))
  return references.map((one) => found.get(name(one)) ?? null)
}

async function page({ domainId, query }) {
  const stages = [{ $match: { domain_id: domainId } }, { $sort: { _id: 1 } }, { $limit: query.page.limit }]
  return (await keys.aggregate([...stages, { $project: FIELDS }]).toArray()).map(key)
}

async function count({ domainId }) {
  const group = { $group: { _id: null, total: { $sum: 1 } } } // as `$count` does, in fewer steps of the embedded engine
  const [row] = await keys.aggregate([{ $match: { domain_id: domainId } }, group]).toArray()
  return row?.total ?? 0
}

async function states({ domainId }) {
  const group = { $group: { _id: '$state', count: { $sum: 1 } } }
  const rows = await keys.aggregate([{ $match: { domain_id: domainId } }, group]).toArray()
  return { results: rows.map((row) => ({ state: row._id, count: row.count })) }
}

async function create({ userId, domainId }) {
  const secret = makeSecret()
  const document = {
    _id: `api-key-${uuid7()}`,
    domain_id: domainId,
    user_id: userId,
    state: 'ENABLED',
    role: 'USER',
    name: null,
    digest: createHmac('sha256', process.env.BENCH_PEPPER).update(secret).digest(),
    hint: `gqlid_...${secret.slice(-4)}`,
    created_at: new Date(),
    created_by: null,
    last_accessed_at: null
  }
  await keys.insertOne(document)
  return { ...key(document), apiKey: secret }
}

function key(document) {
  return {
    apiKeyId: document._id,
    userId: document.user_id,
    domainId: document.domain_id,
    state: document.state,
    role: document.role,
    hint: document.hint,
    createdAt: document.created_at
  }
}

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

// As `secret.py` does.
function makeSecret() {
  let body = 'gqlid_'
  for (let n = 0; n < 43; n++) body += ALPHABET[randomInt(62)]
  let number = crc32(body)
  let checksum = ''
  for (let n = 0; n < 6; n++, number = Math.floor(number / 62)) checksum = ALPHABET[number % 62] + checksum
  return body + checksum
}

function uuid7() {
  const random = randomBytes(10)
  random[0] = (random[0] & 0x0f) | 0x70
  random[2] = (random[2] & 0x3f) | 0x80
  return Date.now().toString(16).padStart(12, '0') + random.toString('hex')
}

const name = (reference) => `${reference.domainId} ${reference.apiKeyId}`

// One loader for each request, as dataloader's documentation asks.
export const context = () => ({ keys: new DataLoader(findMany, { cacheKeyFn: name }) })

// Mercurius gives a reference resolver (reference, args, context), the two others (reference, context).
export const resolvers = (contextAt) => ({
  DateTime: new GraphQLScalarType({ name: 'DateTime', serialize: (instant) => instant.toISOString() }),
  Query: {
    apiKey: (_, { input }) => find(input.domainId, input.apiKeyId),
    apiKeys: (_, { input }) => ({ asked: input }),
    apiKeyStats: (_, { input }) => states(input)
  },
  Mutation: { createApiKey: (_, { input }) => create(input) },
  APIKeysInfo: { results: ({ asked }) => page(asked), totalCount: ({ asked }) => count(asked) },
  APIKeyInfo: { __resolveReference: (...given) => given[contextAt].keys.load(given[0]) }
})
