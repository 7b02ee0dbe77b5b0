/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
/** A kind of change. Later versions may add values: treat an unknown one as UPDATED. */
export type APIKeyAuditAction =
  /** The key was created. */
  | 'CREATED'
  /** The key was deleted. */
  | 'DELETED'
  /** The key was disabled, or a lower role can no longer enable it. */
  | 'DISABLED'
  /** The key was enabled. */
  | 'ENABLED'
  /** Its end is near: 30, 7 and 1 days before. */
  | 'EXPIRING'
  /** A secret of the key was reported as leaked: the key was disabled, or a replaced secret was ended. `changes` has the URL, if it was given. */
  | 'LEAK_REPORTED'
  /** The older secret of a rotation was ended. */
  | 'OVERLAP_ENDED'
  /** The key got another secret. */
  | 'ROTATED'
  /** A secret that a rotation has ended was used, and refused; at most one entry an hour. */
  | 'STALE_SECRET_USED'
  /** The key's name, end, scopes, tags or addresses changed. */
  | 'UPDATED';

/** The kind of author. */
export type APIKeyAuditActorKind =
  /** A command of `gql-identity`. */
  | 'COMMAND_LINE'
  /** The sender of a secret of the key that was refused, or that was reported as leaked. */
  | 'HOLDER'
  /** A caller with a key. */
  | 'KEY'
  /** A person, with a token of an OpenID issuer. */
  | 'PERSON'
  /** The service itself, as when a key's end is near. */
  | 'SERVICE'
  /** Unknown: somebody changed the entry in the database, and it is not intact. */
  | 'UNKNOWN';

/** A kind of change of a key. */
export type APIKeyChangeType =
  /** The key was created. */
  | 'CREATED'
  /** The key was deleted. */
  | 'DELETED'
  /** The key was disabled. */
  | 'DISABLED'
  /** The key was enabled. */
  | 'ENABLED'
  /** The key's end is near: 30, 7 and 1 days before. */
  | 'EXPIRING'
  /** The key got another secret. */
  | 'ROTATED'
  /** The key's name, end, scopes, tags or addresses changed; also the end by a rotation, unless `ROTATED` is named too. */
  | 'UPDATED';

/** One condition: a field, an operator and a value. */
export type APIKeyCondition = {
  /** Short for `key`; give one of the two. */
  k?: string | null | undefined;
  /** A field, for example `created_at` or `createdAt`. */
  key?: string | null | undefined;
  /** Short for `operator`; give one of the two. */
  o?: APIKeyOperator | null | undefined;
  /** The comparison. */
  operator?: APIKeyOperator | null | undefined;
  /** Short for `value`; give one of the two. */
  v?: unknown;
  /** The value to compare with: any JSON value. */
  value?: unknown;
};

/** Replaces the rows by one row with their number. */
export type APIKeyCount = {
  /** The name in the response: letters, digits and underscores. */
  name: string;
};

/** A filter of keys: all fields that are given must match. Keys that were not used since May, or never: `{or: [{accessed: false}, {lastAccessedBefore: "2026-05-01T00:00:00Z"}]}`. */
export type APIKeyFilter = {
  /** Whether the key was ever used. */
  accessed?: boolean | null | undefined;
  /** Filters that must all match; an empty list has no effect. */
  and?: Array<APIKeyFilter> | null | undefined;
  /** Only keys created after this instant. */
  createdAfter?: string | null | undefined;
  /** Only keys created before this instant. */
  createdBefore?: string | null | undefined;
  /** The id of the key that created it. */
  createdBy?: string | number | null | undefined;
  /** The person who created it, as the OpenID issuer names them. */
  createdByUserId?: string | number | null | undefined;
  /** Whether the key has expired. */
  expired?: boolean | null | undefined;
  /** Only keys that end after this instant; this excludes keys without an end. */
  expiresAfter?: string | null | undefined;
  /** Only keys that end before this instant; this excludes keys without an end. */
  expiresBefore?: string | null | undefined;
  /** Only keys with this scope. */
  hasScope?: string | null | undefined;
  /** Only keys with this tag. */
  hasTag?: APIKeyTagInput | null | undefined;
  /** Only keys last used after this instant. */
  lastAccessedAfter?: string | null | undefined;
  /** Only keys last used before this instant; this excludes keys that were never used. */
  lastAccessedBefore?: string | null | undefined;
  /** The id of a key that created it, directly or through other keys that it created, including deleted ones. */
  madeBy?: string | number | null | undefined;
  /** A text that the name contains, ignoring case. */
  nameContains?: string | null | undefined;
  /** Filters of which at least one must match; an empty list has no effect. */
  or?: Array<APIKeyFilter> | null | undefined;
  /** The key's role. */
  role?: APIKeyRole | null | undefined;
};

/** Groups rows by keys, and computes fields for each group. */
export type APIKeyGroup = {
  /** The fields to compute. */
  fields?: Array<APIKeyGroupField> | null | undefined;
  /** The fields to group by; without any, all rows are one group. */
  keys?: Array<APIKeyGroupKey> | null | undefined;
};

/** A field that is computed for each group. */
export type APIKeyGroupField = {
  /** For `COUNT`, `SUM` and `AVERAGE`: count only rows that match all of these; operators `EQ NOT GT GTE LT LTE`. */
  conditions?: Array<APIKeyCondition> | null | undefined;
  /** For `PUSH`: the fields of each object. */
  fields?: Array<APIKeyPushField> | null | undefined;
  /** Short for `key`; give one of the two. */
  k?: string | null | undefined;
  /** A field, for example `created_at` or `createdAt`, or a name that an earlier stage defined. */
  key?: string | null | undefined;
  /** Short for `name`; give one of the two. */
  n?: string | null | undefined;
  /** The name in the response: letters, digits and underscores. */
  name?: string | null | undefined;
  /** Short for `operator`; give one of the two. */
  o?: APIKeyGroupOperator | null | undefined;
  /** The computation. */
  operator?: APIKeyGroupOperator | null | undefined;
};

/** A field to group by. */
export type APIKeyGroupKey = {
  /** For an instant: `year`, `month` or `day` as numbers, or a format such as `%Y-%m-%d`, in UTC. */
  dateFormat?: string | null | undefined;
  /** Short for `key`; give one of the two. */
  k?: string | null | undefined;
  /** A field, for example `created_at` or `createdAt`, or a name that an earlier stage defined. */
  key?: string | null | undefined;
  /** Short for `name`; give one of the two. */
  n?: string | null | undefined;
  /** The name in the response: letters, digits and underscores. */
  name?: string | null | undefined;
};

/** A computation over the rows of a group. */
export type APIKeyGroupOperator =
  /** The distinct values as a list. */
  | 'ADD_TO_SET'
  /** The mean of the key's values. */
  | 'AVERAGE'
  /** The number of rows; needs no key. */
  | 'COUNT'
  /** The first row's value. */
  | 'FIRST'
  /** The last row's value. */
  | 'LAST'
  /** The largest of the key's values. */
  | 'MAX'
  /** The objects merged into one. */
  | 'MERGE_OBJECTS'
  /** The smallest of the key's values. */
  | 'MIN'
  /** All values as a list; with `fields`, a list of objects. */
  | 'PUSH'
  /** The sum of the key's values. */
  | 'SUM';

/** A comparison of a field with a value. */
export type APIKeyOperator =
  /** Contains the text, ignoring case. */
  | 'CONTAIN'
  /** Contains any of the list's texts, ignoring case. */
  | 'CONTAIN_IN'
  /** Is after the instant. */
  | 'DATETIME_GT'
  /** Is at or after the instant. */
  | 'DATETIME_GTE'
  /** Is before the instant, given as ISO 8601 text. */
  | 'DATETIME_LT'
  /** Is at or before the instant. */
  | 'DATETIME_LTE'
  /** Equals the value; null matches a field that is absent. */
  | 'EQ'
  /** Has a value (true), or is absent or null (false). */
  | 'EXISTS'
  /** Is greater than the value. */
  | 'GT'
  /** Is at least the value. */
  | 'GTE'
  /** Is one of the values of the list. */
  | 'IN'
  /** Is less than the value. */
  | 'LT'
  /** Is at most the value. */
  | 'LTE'
  /** Has an element that matches the object: for `tags`, `{name, value}` or one of the two. */
  | 'MATCH'
  /** Differs from the value. */
  | 'NOT'
  /** Does not contain the text, ignoring case. */
  | 'NOT_CONTAIN'
  /** Contains none of the list's texts, ignoring case. */
  | 'NOT_CONTAIN_IN'
  /** Is none of the values of the list. */
  | 'NOT_IN'
  /** Matches the pattern, ignoring case. */
  | 'REGEX'
  /** Matches any of the list's patterns, ignoring case. */
  | 'REGEX_IN'
  /** Is after an instant relative to now, for example `now/d`. */
  | 'TIMEDIFF_GT'
  /** Is at or after an instant relative to now. */
  | 'TIMEDIFF_GTE'
  /** Is before an instant relative to now, for example `now-7d`. */
  | 'TIMEDIFF_LT'
  /** Is at or before an instant relative to now. */
  | 'TIMEDIFF_LTE';

/** The order of a connection, for example `{field: CREATED_AT, direction: DESC}`. */
export type APIKeyOrder = {
  /** Ascending or descending. */
  direction?: APIKeyOrderDirection;
  /** The field to order by. */
  field: APIKeyOrderField;
};

/** Ascending or descending. */
export type APIKeyOrderDirection =
  /** The smallest or oldest first. */
  | 'ASC'
  /** The largest or newest first. */
  | 'DESC';

/** A field to order keys by; ids break ties. Keys without a value come first in `ASC`. */
export type APIKeyOrderField =
  /** The key's id, which sorts by age: the default order. */
  | 'API_KEY_ID'
  /** The time of creation. */
  | 'CREATED_AT'
  /** The end of the key; keys without an end come first in `ASC`. */
  | 'EXPIRES_AT'
  /** The time of the last use. It changes while you page: a key in use may appear twice, or never. */
  | 'LAST_ACCESSED_AT'
  /** The key's name: capital letters before small ones. */
  | 'NAME';

/** The choice for a rotation of a key that has two accepted secrets already; it never has three. */
export type APIKeyOverlapChoice =
  /** The older secret ends now; the newer one is accepted during the overlap. */
  | 'END_OLDER'
  /** Refuse with `FAILED_PRECONDITION`: both secrets stay accepted. */
  | 'REFUSE'
  /** The newer secret ends now, for example because it was lost; the older one is accepted during the overlap. */
  | 'REPLACE_NEWER';

/** A part of the results. */
export type APIKeyPage = {
  /** The number of results; 0 or absent means all. If there are more than the largest page, a list returns the first ones if `totalCount` is selected; otherwise the query is an error. */
  limit?: number | null | undefined;
  /** The first result, counted from 1; without a limit it has no effect. */
  start?: number | null | undefined;
};

/** Keeps or computes fields. */
export type APIKeyProject = {
  /** Whether to remove the keys of the previous group. */
  excludeKeys?: boolean;
  /** The fields to keep or compute. */
  fields?: Array<APIKeyProjectField> | null | undefined;
};

/** A field to keep or to compute. */
export type APIKeyProjectField = {
  /** Short for `key`; give one of the two. */
  k?: string | null | undefined;
  /** A field, for example `created_at` or `createdAt`, or a name that an earlier stage defined. */
  key?: string | null | undefined;
  /** Short for `name`; give one of the two. */
  n?: string | null | undefined;
  /** The name in the response: letters, digits and underscores. Without it, the key's own name. */
  name?: string | null | undefined;
  /** Short for `operator`; give one of the two. */
  o?: APIKeyProjectOperator | null | undefined;
  /** The computation; without one the field is kept. */
  operator?: APIKeyProjectOperator | null | undefined;
  /** Short for `value`; give one of the two. */
  v?: unknown;
  /** For `ADD`, `SUBTRACT`, `MULTIPLY`, `DIVIDE`: a number, or the name of a field. */
  value?: unknown;
};

/** A computation on one field of a row. */
export type APIKeyProjectOperator =
  /** The key plus the value. */
  | 'ADD'
  /** An object from an array of `{k, v}`. */
  | 'ARRAY_TO_OBJECT'
  /** The key divided by the value; null if the value is 0. */
  | 'DIVIDE'
  /** The key times the value. */
  | 'MULTIPLY'
  /** An array of `{k, v}` from an object. */
  | 'OBJECT_TO_ARRAY'
  /** The number of elements of an array. */
  | 'SIZE'
  /** The key minus the value. */
  | 'SUBTRACT'
  /** The sum of an array's elements. */
  | 'SUM';

/** A field of the objects that `PUSH` collects. */
export type APIKeyPushField = {
  /** Short for `key`; give one of the two. */
  k?: string | null | undefined;
  /** A field, for example `created_at` or `createdAt`, or a name that an earlier stage defined. */
  key?: string | null | undefined;
  /** Short for `name`; give one of the two. */
  n?: string | null | undefined;
  /** The name in the response: letters, digits and underscores. */
  name?: string | null | undefined;
};

/** Names one key. */
export type APIKeyRequest = {
  /** The key's public id. */
  apiKeyId: string | number;
  /** The domain of the key. Default: the caller's domain. */
  domainId?: string | number | null | undefined;
};

/** The rights of a key, from fewest to most: `USER`, `VERIFIER`, `DOMAIN_OWNER`, `SYSTEM`. */
export type APIKeyRole =
  /** Manages all keys of its domain. */
  | 'DOMAIN_OWNER'
  /** Manages all keys of all domains. */
  | 'SYSTEM'
  /** Manages its own user's keys. */
  | 'USER'
  /** As USER, and may verify any key: for gateways. */
  | 'VERIFIER';

/** An order: `{key, desc}`, or `{keys: [...]}` for several fields. */
export type APIKeySort = {
  /** Whether the order is descending. */
  desc?: boolean;
  /** A field, for example `created_at` or `createdAt`. */
  key?: string | null | undefined;
  /** Several fields, the most significant first. */
  keys?: Array<APIKeySortKey> | null | undefined;
};

/** A field to sort by. */
export type APIKeySortKey = {
  /** Whether the order is descending. */
  desc?: boolean;
  /** A field, for example `created_at` or `createdAt`. */
  key: string;
};

/** One stage of a statistic: exactly one of its fields. */
export type APIKeyStage =
  {   /** Counts the rows. */
  count: APIKeyCount; group?: never; limit?: never; project?: never; skip?: never; sort?: never; unwind?: never; }
  |  { count?: never;   /** Groups rows and computes fields. */
  group: APIKeyGroup; limit?: never; project?: never; skip?: never; sort?: never; unwind?: never; }
  |  { count?: never; group?: never;   /** Keeps this number of rows. */
  limit: number; project?: never; skip?: never; sort?: never; unwind?: never; }
  |  { count?: never; group?: never; limit?: never;   /** Keeps or computes fields. */
  project: APIKeyProject; skip?: never; sort?: never; unwind?: never; }
  |  { count?: never; group?: never; limit?: never; project?: never;   /** Skips this number of rows. */
  skip: number; sort?: never; unwind?: never; }
  |  { count?: never; group?: never; limit?: never; project?: never; skip?: never;   /** Sorts the rows. */
  sort: APIKeySort; unwind?: never; }
  |  { count?: never; group?: never; limit?: never; project?: never; skip?: never; sort?: never;   /** Makes one row of each element of an array. */
  unwind: APIKeyUnwind; };

/** A statistic of the keys of one domain. */
export type APIKeyStatQuery = {
  /** The domain of the keys. Default: the caller's domain. */
  domainId?: string | number | null | undefined;
  /** The statistic. */
  query: APIKeyStatisticsQuery;
};

/** Whether a key is enabled. */
export type APIKeyState =
  /** The key is refused until it is enabled again. */
  | 'DISABLED'
  /** The key is accepted. */
  | 'ENABLED';

/** Conditions and computations of a statistic. */
export type APIKeyStatisticsQuery = {
  /** The stages, in order. */
  aggregate?: Array<APIKeyStage> | null | undefined;
  /** A field: return its distinct values, sorted. */
  distinct?: string | null | undefined;
  /** Conditions that must all match. */
  filter?: Array<APIKeyCondition> | null | undefined;
  /** Conditions of which at least one must match. */
  filterOr?: Array<APIKeyCondition> | null | undefined;
  /** Words: the key's id or its user's id contains at least one of them. They are added to `filterOr`. */
  keyword?: string | null | undefined;
  /** A part of the rows; with a limit the response has `total_count`. */
  page?: APIKeyPage | null | undefined;
};

/** A tag; name and value have 1 to 255 characters. */
export type APIKeyTagInput = {
  /** The tag's name, for example `team`. */
  name: string;
  /** The tag's value, for example `payments`. */
  value: string;
};

/** Makes one row of each element of an array. */
export type APIKeyUnwind = {
  /** The name of an array that an earlier stage defined; at the start `tags`, whose rows have `tag_name` and `tag_value`, or `scopes`, whose rows have `scope`. */
  path: string;
};

/** The result of a verification. */
export type APIKeyVerificationCode =
  /** The key may not be used from this address, or no address was given. */
  | 'ADDRESS_NOT_ALLOWED'
  /** The key is disabled. */
  | 'DISABLED'
  /** The key has expired. */
  | 'EXPIRED'
  /** The secret is valid, but required scopes are missing. */
  | 'INSUFFICIENT_SCOPE'
  /** The text is not a secret of this service: a typo, or another kind of credential. */
  | 'MALFORMED'
  /** There is no such key, or none that the caller may verify. */
  | 'NOT_FOUND'
  /** The secret was replaced and its overlap has ended: a client still uses the old one. It is told for 30 days, of the last ten such secrets of a key. */
  | 'ROTATED'
  /** The secret is valid. */
  | 'VALID';

/** The properties of a new key. */
export type CreateAPIKeyRequest = {
  /** The networks from which the key may be used: up to 100 addresses or networks in CIDR notation, for example `10.0.0.0/8`. Default: those of the caller's key. */
  allowedAddresses?: Array<string> | null | undefined;
  /** The domain of that user; 1 to 255 characters. Default: the caller's domain. */
  domainId?: string | number | null | undefined;
  /** The end of the key. Default: set by the service's policy. A caller of role USER or VERIFIER cannot create a key that ends later than its own. */
  expiresAt?: string | null | undefined;
  /** The key's name, for example `ci`; at most 255 characters. */
  name?: string | null | undefined;
  /** A text of your own: 16 to 64 letters, digits and `._~-`, preferably random. If the same key sends the request again within ten minutes, the response has the same key and the same secret. */
  requestId?: string | number | null | undefined;
  /** The key's role. */
  role?: APIKeyRole;
  /** The key's scopes, at most those of the caller. Null: no restriction beyond its role, and none of your own scopes. An empty list: no rights. */
  scopes?: Array<string> | null | undefined;
  /** Texts of your own to find the key by: at most 32, with different names, of 4,096 characters in all. */
  tags?: Array<APIKeyTagInput> | null | undefined;
  /** The user that the key belongs to; 1 to 255 characters. */
  userId: string | number;
};

/** Names the key to rotate, and sets the overlap. */
export type RotateAPIKeyRequest = {
  /** The key's public id. */
  apiKeyId: string | number;
  /** The domain of the key. Default: the caller's domain. */
  domainId?: string | number | null | undefined;
  /** Another end of the key, as in `updateApiKey`. Default: the end stays. */
  expiresAt?: string | null | undefined;
  /** The choice if the key has two accepted secrets already. */
  ifOverlapping?: APIKeyOverlapChoice;
  /** How long the present secret is still accepted: up to 2592000 seconds, and never past the key's end. 0 ends every older secret immediately; a key that rotates itself must leave at least 60, and cannot end the secret that it sends. */
  overlapSeconds?: number;
  /** As in `createApiKey`. */
  requestId?: string | number | null | undefined;
};

/** The changes of a key: absent fields stay, null removes a value. */
export type UpdateAPIKeyRequest = {
  /** The networks from which the key may be used: up to 100 addresses or networks in CIDR notation, for example `10.0.0.0/8`. Null: any. */
  allowedAddresses?: Array<string> | null | undefined;
  /** The key's public id. */
  apiKeyId: string | number;
  /** The domain of the key. Default: the caller's domain. */
  domainId?: string | number | null | undefined;
  /** The end of the key. A caller of role USER or VERIFIER cannot set an end later than its own. It can postpone its own end only with the scope `identity:rotate`, to at most the lifetime that it was created with, counted from now. */
  expiresAt?: string | null | undefined;
  /** The key's name; at most 255 characters. */
  name?: string | null | undefined;
  /** The key's scopes: those that it has can be kept or removed, and those that the caller has can be added. */
  scopes?: Array<string> | null | undefined;
  /** Texts of your own to find the key by: at most 32, with different names, of 4,096 characters in all. */
  tags?: Array<APIKeyTagInput> | null | undefined;
};

export type KeyRowFragment = { id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean };

export type KeyDetailsFragment = { createdBy: string | null, rotatedAt: string | null, scopes: Array<string> | null, allowedAddresses: Array<string> | null, id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean, tags: Array<{ name: string, value: string }>, secrets: Array<{ hint: string, createdAt: string, expiresAt: string | null, lastAccessedAt: string | null }> };

export type AuditRowFragment = { id: string, at: string, action: APIKeyAuditAction, apiKeyId: string, intact: boolean | null, actor: { kind: APIKeyAuditActorKind, apiKeyId: string | null, userId: string | null }, changes: Array<{ field: string, before: unknown, after: unknown }> };

export type ViewerQueryVariables = Exact<{ [key: string]: never; }>;


export type ViewerQuery = { viewer: { domainId: string, userId: string, role: APIKeyRole, scopes: Array<string> | null, apiKeyInfo: { id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean } | null } | null };

export type KeysQueryVariables = Exact<{
  domainId: string | number;
  userId?: string | number | null | undefined;
  state?: APIKeyState | null | undefined;
  filter?: APIKeyFilter | null | undefined;
  orderBy?: APIKeyOrder | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type KeysQuery = { apiKeysConnection: { totalCount: number | null, nodes: Array<{ id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } | null };

export type StatisticsQueryVariables = Exact<{
  domainId: string | number;
  at: string;
  states: APIKeyStatQuery;
  expired: APIKeyStatQuery;
  users: APIKeyStatQuery;
  days: APIKeyStatQuery;
}>;


export type StatisticsQuery = { states: unknown, expired: unknown, users: unknown, days: unknown, next: { nodes: Array<{ id: string, expiresAt: string | null }> } | null };

export type KeyQueryVariables = Exact<{
  domainId: string | number;
  apiKeyId: string | number;
}>;


export type KeyQuery = { apiKey: { createdBy: string | null, rotatedAt: string | null, scopes: Array<string> | null, allowedAddresses: Array<string> | null, id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean, usage: Array<{ start: string, code: APIKeyVerificationCode, count: number }> | null, tags: Array<{ name: string, value: string }>, secrets: Array<{ hint: string, createdAt: string, expiresAt: string | null, lastAccessedAt: string | null }> } | null };

export type AuditQueryVariables = Exact<{
  domainId: string | number;
  apiKeyId?: string | number | null | undefined;
  actorId?: string | number | null | undefined;
  before?: string | null | undefined;
}>;


export type AuditQuery = { apiKeyAudit: { nodes: Array<{ id: string, at: string, action: APIKeyAuditAction, apiKeyId: string, intact: boolean | null, actor: { kind: APIKeyAuditActorKind, apiKeyId: string | null, userId: string | null }, changes: Array<{ field: string, before: unknown, after: unknown }> }>, pageInfo: { hasPreviousPage: boolean, startCursor: string | null } } | null };

export type CreateMutationVariables = Exact<{
  input: CreateAPIKeyRequest;
}>;


export type CreateMutation = { createApiKey: { apiKey: string | null, id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean } | null };

export type RotateMutationVariables = Exact<{
  input: RotateAPIKeyRequest;
}>;


export type RotateMutation = { rotateApiKey: { apiKey: string | null, createdBy: string | null, rotatedAt: string | null, scopes: Array<string> | null, allowedAddresses: Array<string> | null, id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean, tags: Array<{ name: string, value: string }>, secrets: Array<{ hint: string, createdAt: string, expiresAt: string | null, lastAccessedAt: string | null }> } | null };

export type UpdateMutationVariables = Exact<{
  input: UpdateAPIKeyRequest;
}>;


export type UpdateMutation = { updateApiKey: { createdBy: string | null, rotatedAt: string | null, scopes: Array<string> | null, allowedAddresses: Array<string> | null, id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean, tags: Array<{ name: string, value: string }>, secrets: Array<{ hint: string, createdAt: string, expiresAt: string | null, lastAccessedAt: string | null }> } | null };

export type EndOverlapMutationVariables = Exact<{
  input: APIKeyRequest;
}>;


export type EndOverlapMutation = { endApiKeyOverlap: { createdBy: string | null, rotatedAt: string | null, scopes: Array<string> | null, allowedAddresses: Array<string> | null, id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean, tags: Array<{ name: string, value: string }>, secrets: Array<{ hint: string, createdAt: string, expiresAt: string | null, lastAccessedAt: string | null }> } | null };

export type EnableMutationVariables = Exact<{
  input: APIKeyRequest;
}>;


export type EnableMutation = { enableApiKey: { id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean } | null };

export type DisableMutationVariables = Exact<{
  input: APIKeyRequest;
}>;


export type DisableMutation = { disableApiKey: { id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean } | null };

export type DeleteMutationVariables = Exact<{
  input: APIKeyRequest;
}>;


export type DeleteMutation = { deleteApiKey: { id: string, apiKeyId: string } | null };

export type ChangedSubscriptionVariables = Exact<{
  domainId: string | number;
}>;


export type ChangedSubscription = { apiKeyChanged: { type: APIKeyChangeType, apiKeyInfo: { id: string, apiKeyId: string, domainId: string, name: string | null, userId: string, role: APIKeyRole, state: APIKeyState, hint: string, createdAt: string, updatedAt: string | null, lastAccessedAt: string | null, expiresAt: string | null, expired: boolean } } };

export const KeyRowFragmentDoc = {"kind":"Document","definitions":[{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<KeyRowFragment, unknown>;
export const KeyDetailsFragmentDoc = {"kind":"Document","definitions":[{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyDetails"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}},{"kind":"Field","name":{"kind":"Name","value":"createdBy"}},{"kind":"Field","name":{"kind":"Name","value":"rotatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"allowedAddresses"}},{"kind":"Field","name":{"kind":"Name","value":"tags"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"value"}}]}},{"kind":"Field","name":{"kind":"Name","value":"secrets"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<KeyDetailsFragment, unknown>;
export const AuditRowFragmentDoc = {"kind":"Document","definitions":[{"kind":"FragmentDefinition","name":{"kind":"Name","value":"AuditRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyAuditEntry"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"at"}},{"kind":"Field","name":{"kind":"Name","value":"action"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"actor"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"kind"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}}]}},{"kind":"Field","name":{"kind":"Name","value":"changes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"field"}},{"kind":"Field","name":{"kind":"Name","value":"before"}},{"kind":"Field","name":{"kind":"Name","value":"after"}}]}},{"kind":"Field","name":{"kind":"Name","value":"intact"}}]}}]} as unknown as DocumentNode<AuditRowFragment, unknown>;
export const ViewerDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Viewer"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"viewer"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<ViewerQuery, ViewerQueryVariables>;
export const KeysDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Keys"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"userId"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"state"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyState"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"filter"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyFilter"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"orderBy"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyOrder"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"first"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"Int"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"after"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"apiKeysConnection"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"domainId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}}},{"kind":"Argument","name":{"kind":"Name","value":"userId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"userId"}}},{"kind":"Argument","name":{"kind":"Name","value":"state"},"value":{"kind":"Variable","name":{"kind":"Name","value":"state"}}},{"kind":"Argument","name":{"kind":"Name","value":"filter"},"value":{"kind":"Variable","name":{"kind":"Name","value":"filter"}}},{"kind":"Argument","name":{"kind":"Name","value":"orderBy"},"value":{"kind":"Variable","name":{"kind":"Name","value":"orderBy"}}},{"kind":"Argument","name":{"kind":"Name","value":"first"},"value":{"kind":"Variable","name":{"kind":"Name","value":"first"}}},{"kind":"Argument","name":{"kind":"Name","value":"after"},"value":{"kind":"Variable","name":{"kind":"Name","value":"after"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"totalCount"}},{"kind":"Field","name":{"kind":"Name","value":"nodes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}}]}},{"kind":"Field","name":{"kind":"Name","value":"pageInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hasNextPage"}},{"kind":"Field","name":{"kind":"Name","value":"endCursor"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<KeysQuery, KeysQueryVariables>;
export const StatisticsDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Statistics"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"at"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"DateTime"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"states"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyStatQuery"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"expired"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyStatQuery"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"users"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyStatQuery"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"days"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyStatQuery"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","alias":{"kind":"Name","value":"states"},"name":{"kind":"Name","value":"apiKeyStats"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"states"}}}]},{"kind":"Field","alias":{"kind":"Name","value":"expired"},"name":{"kind":"Name","value":"apiKeyStats"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"expired"}}}]},{"kind":"Field","alias":{"kind":"Name","value":"users"},"name":{"kind":"Name","value":"apiKeyStats"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"users"}}}]},{"kind":"Field","alias":{"kind":"Name","value":"days"},"name":{"kind":"Name","value":"apiKeyStats"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"days"}}}]},{"kind":"Field","alias":{"kind":"Name","value":"next"},"name":{"kind":"Name","value":"apiKeysConnection"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"domainId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}}},{"kind":"Argument","name":{"kind":"Name","value":"state"},"value":{"kind":"EnumValue","value":"ENABLED"}},{"kind":"Argument","name":{"kind":"Name","value":"filter"},"value":{"kind":"ObjectValue","fields":[{"kind":"ObjectField","name":{"kind":"Name","value":"expiresAfter"},"value":{"kind":"Variable","name":{"kind":"Name","value":"at"}}}]}},{"kind":"Argument","name":{"kind":"Name","value":"orderBy"},"value":{"kind":"ObjectValue","fields":[{"kind":"ObjectField","name":{"kind":"Name","value":"field"},"value":{"kind":"EnumValue","value":"EXPIRES_AT"}},{"kind":"ObjectField","name":{"kind":"Name","value":"direction"},"value":{"kind":"EnumValue","value":"ASC"}}]}},{"kind":"Argument","name":{"kind":"Name","value":"first"},"value":{"kind":"IntValue","value":"1"}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"nodes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}}]}}]}}]}}]} as unknown as DocumentNode<StatisticsQuery, StatisticsQueryVariables>;
export const KeyDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Key"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"apiKeyId"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"apiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"ObjectValue","fields":[{"kind":"ObjectField","name":{"kind":"Name","value":"domainId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}}},{"kind":"ObjectField","name":{"kind":"Name","value":"apiKeyId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"apiKeyId"}}}]}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyDetails"}},{"kind":"Field","name":{"kind":"Name","value":"usage"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"interval"},"value":{"kind":"EnumValue","value":"DAY"}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"start"}},{"kind":"Field","name":{"kind":"Name","value":"code"}},{"kind":"Field","name":{"kind":"Name","value":"count"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyDetails"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}},{"kind":"Field","name":{"kind":"Name","value":"createdBy"}},{"kind":"Field","name":{"kind":"Name","value":"rotatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"allowedAddresses"}},{"kind":"Field","name":{"kind":"Name","value":"tags"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"value"}}]}},{"kind":"Field","name":{"kind":"Name","value":"secrets"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}}]}}]}}]} as unknown as DocumentNode<KeyQuery, KeyQueryVariables>;
export const AuditDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Audit"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"apiKeyId"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"actorId"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"before"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"apiKeyAudit"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"domainId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}}},{"kind":"Argument","name":{"kind":"Name","value":"apiKeyId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"apiKeyId"}}},{"kind":"Argument","name":{"kind":"Name","value":"actorId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"actorId"}}},{"kind":"Argument","name":{"kind":"Name","value":"last"},"value":{"kind":"IntValue","value":"50"}},{"kind":"Argument","name":{"kind":"Name","value":"before"},"value":{"kind":"Variable","name":{"kind":"Name","value":"before"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"nodes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"AuditRow"}}]}},{"kind":"Field","name":{"kind":"Name","value":"pageInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hasPreviousPage"}},{"kind":"Field","name":{"kind":"Name","value":"startCursor"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"AuditRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyAuditEntry"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"at"}},{"kind":"Field","name":{"kind":"Name","value":"action"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"actor"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"kind"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}}]}},{"kind":"Field","name":{"kind":"Name","value":"changes"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"field"}},{"kind":"Field","name":{"kind":"Name","value":"before"}},{"kind":"Field","name":{"kind":"Name","value":"after"}}]}},{"kind":"Field","name":{"kind":"Name","value":"intact"}}]}}]} as unknown as DocumentNode<AuditQuery, AuditQueryVariables>;
export const CreateDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"Create"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"CreateAPIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"createApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}},{"kind":"Field","name":{"kind":"Name","value":"apiKey"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<CreateMutation, CreateMutationVariables>;
export const RotateDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"Rotate"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"RotateAPIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"rotateApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyDetails"}},{"kind":"Field","name":{"kind":"Name","value":"apiKey"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyDetails"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}},{"kind":"Field","name":{"kind":"Name","value":"createdBy"}},{"kind":"Field","name":{"kind":"Name","value":"rotatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"allowedAddresses"}},{"kind":"Field","name":{"kind":"Name","value":"tags"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"value"}}]}},{"kind":"Field","name":{"kind":"Name","value":"secrets"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}}]}}]}}]} as unknown as DocumentNode<RotateMutation, RotateMutationVariables>;
export const UpdateDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"Update"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"UpdateAPIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"updateApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyDetails"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyDetails"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}},{"kind":"Field","name":{"kind":"Name","value":"createdBy"}},{"kind":"Field","name":{"kind":"Name","value":"rotatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"allowedAddresses"}},{"kind":"Field","name":{"kind":"Name","value":"tags"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"value"}}]}},{"kind":"Field","name":{"kind":"Name","value":"secrets"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}}]}}]}}]} as unknown as DocumentNode<UpdateMutation, UpdateMutationVariables>;
export const EndOverlapDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"EndOverlap"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"endApiKeyOverlap"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyDetails"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyDetails"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}},{"kind":"Field","name":{"kind":"Name","value":"createdBy"}},{"kind":"Field","name":{"kind":"Name","value":"rotatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"scopes"}},{"kind":"Field","name":{"kind":"Name","value":"allowedAddresses"}},{"kind":"Field","name":{"kind":"Name","value":"tags"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"value"}}]}},{"kind":"Field","name":{"kind":"Name","value":"secrets"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}}]}}]}}]} as unknown as DocumentNode<EndOverlapMutation, EndOverlapMutationVariables>;
export const EnableDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"Enable"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"enableApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<EnableMutation, EnableMutationVariables>;
export const DisableDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"Disable"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"disableApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<DisableMutation, DisableMutationVariables>;
export const DeleteDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"mutation","name":{"kind":"Name","value":"Delete"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"input"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyRequest"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"deleteApiKey"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"Variable","name":{"kind":"Name","value":"input"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}}]}}]}}]} as unknown as DocumentNode<DeleteMutation, DeleteMutationVariables>;
export const ChangedDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"subscription","name":{"kind":"Name","value":"Changed"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"apiKeyChanged"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"input"},"value":{"kind":"ObjectValue","fields":[{"kind":"ObjectField","name":{"kind":"Name","value":"domainId"},"value":{"kind":"Variable","name":{"kind":"Name","value":"domainId"}}},{"kind":"ObjectField","name":{"kind":"Name","value":"types"},"value":{"kind":"ListValue","values":[{"kind":"EnumValue","value":"CREATED"},{"kind":"EnumValue","value":"UPDATED"},{"kind":"EnumValue","value":"ENABLED"},{"kind":"EnumValue","value":"DISABLED"},{"kind":"EnumValue","value":"ROTATED"},{"kind":"EnumValue","value":"DELETED"}]}}]}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"KeyRow"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"KeyRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"APIKeyInfo"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"apiKeyId"}},{"kind":"Field","name":{"kind":"Name","value":"domainId"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"userId"}},{"kind":"Field","name":{"kind":"Name","value":"role"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"hint"}},{"kind":"Field","name":{"kind":"Name","value":"createdAt"}},{"kind":"Field","name":{"kind":"Name","value":"updatedAt"}},{"kind":"Field","name":{"kind":"Name","value":"lastAccessedAt"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"expired"}}]}}]} as unknown as DocumentNode<ChangedSubscription, ChangedSubscriptionVariables>;