import { graphql } from 'relay-runtime';

export const keysQuery = graphql`
  query KeysQuery($domainId: ID!, $filter: APIKeyFilter) {
    ...Keys_list @arguments(domainId: $domainId, filter: $filter)
  }
`;

export const keysList = graphql`
  fragment Keys_list on Query
  @refetchable(queryName: "KeysPageQuery")
  @argumentDefinitions(
    domainId: { type: "ID!" }
    filter: { type: "APIKeyFilter" }
    first: { type: "Int", defaultValue: 20 }
    after: { type: "String" }
  ) {
    apiKeysConnection(domainId: $domainId, filter: $filter, first: $first, after: $after)
      @connection(key: "Keys_apiKeysConnection", filters: ["domainId", "filter"]) {
      edges {
        node {
          id
          ...Keys_key
        }
      }
    }
  }
`;

export const key = graphql`
  fragment Keys_key on APIKeyInfo @refetchable(queryName: "KeysKeyQuery") {
    apiKeyId
    state
    user {
      userId
    }
  }
`;

export const remove = graphql`
  mutation KeysDeleteMutation($input: APIKeyRequest!, $connections: [ID!]!) {
    deleteApiKey(input: $input) {
      id @deleteRecord @deleteEdge(connections: $connections)
    }
  }
`;

export const changed = graphql`
  subscription KeysChangedSubscription($input: APIKeyChangedRequest!) {
    apiKeyChanged(input: $input) {
      type
      apiKeyInfo {
        ...Keys_key
      }
    }
  }
`;
