import { gql } from "@apollo/client";

// `id` and `__typename`, which Apollo Client adds, make one entry of the cache of what several answers say of a key.
const KEY = gql`
  fragment Key on APIKeyInfo {
    id
    apiKeyId
    name
    userId
    role
    state
    hint
    createdAt
    expiresAt
    expired
  }
`;

export const VIEWER = gql`
  query Viewer {
    viewer {
      domainId
    }
  }
`;

export const LIST = gql`
  query ListKeys($domainId: ID!) {
    apiKeys(input: { domainId: $domainId, query: { sort: { key: "api_key_id", desc: true }, page: { limit: 100 } } }) {
      totalCount
      results {
        ...Key
      }
    }
  }
  ${KEY}
`;

// `apiKey`, the secret, is returned only once, in this response.
export const CREATE = gql`
  mutation CreateKey($input: CreateAPIKeyRequest!) {
    createApiKey(input: $input) {
      ...Key
      apiKey
    }
  }
  ${KEY}
`;

export const ROTATE = gql`
  mutation RotateKey($input: RotateAPIKeyRequest!) {
    rotateApiKey(input: $input) {
      ...Key
      apiKey
    }
  }
  ${KEY}
`;

export const DISABLE = gql`
  mutation DisableKey($input: APIKeyRequest!) {
    disableApiKey(input: $input) {
      ...Key
    }
  }
  ${KEY}
`;

export const ENABLE = gql`
  mutation EnableKey($input: APIKeyRequest!) {
    enableApiKey(input: $input) {
      ...Key
    }
  }
  ${KEY}
`;

export const DELETE = gql`
  mutation DeleteKey($input: APIKeyRequest!) {
    deleteApiKey(input: $input) {
      id
    }
  }
`;

export const CHANGED = gql`
  subscription KeyChanged($domainId: ID!) {
    apiKeyChanged(
      input: { domainId: $domainId, types: [CREATED, UPDATED, ENABLED, DISABLED, ROTATED, DELETED] }
    ) {
      type
      apiKeyInfo {
        ...Key
      }
    }
  }
  ${KEY}
`;
