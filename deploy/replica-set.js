// Run once by compose.yaml with mongosh: starts the replica set and makes the user of the service. Repeating it does no harm.
const root = encodeURIComponent(process.env.MONGO_ROOT_PASSWORD);
let admin = connect(`mongodb://root:${root}@mongo1/admin?directConnection=true`);

const members = ["mongo1", "mongo2", "mongo3"].map((name, _id) => ({ _id, host: `${name}:27017` }));
try {
  admin.adminCommand({ replSetInitiate: { _id: "rs0", members } });
} catch (error) {
  if (error.codeName !== "AlreadyInitialized") throw error;
}

// An election takes seconds. Later, another member than mongo1 may be the primary.
admin = connect(`mongodb://root:${root}@mongo1,mongo2,mongo3/admin?replicaSet=rs0&serverSelectionTimeoutMS=60000`);
const identity = admin.getSiblingDB("identity");

// docs/mongodb.md: `collMod` is for `create-indexes`, which has MongoDB keep what deleted keys were.
const keepImages = { resource: { db: "identity", collection: "api_keys" }, actions: ["collMod"] };
if (!identity.getRole("gqlIdentity")) {
  identity.createRole({ role: "gqlIdentity", privileges: [keepImages], roles: ["readWrite"] });
}
if (!identity.getUser("gql-identity")) {
  identity.createUser({ user: "gql-identity", pwd: process.env.MONGO_PASSWORD, roles: ["gqlIdentity"] });
}
print("The replica set and the user of the service are ready.");
