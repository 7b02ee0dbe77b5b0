// Composes the subgraphs on stdin, [{name, sdl}], by both composers: {composer: {errors, hints, supergraph}} on stdout.
import { composeServices as composeByApollo } from '@apollo/composition';
import { composeServices as composeByTheGuild } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { text } from 'node:stream/consumers';

const subgraphs = JSON.parse(await text(process.stdin)).map(({ name, sdl }) => ({
  name,
  typeDefs: parse(sdl),
  url: `http://${name}`,
}));
const composers = { '@apollo/composition': composeByApollo, '@theguild/federation-composition': composeByTheGuild };
const composed = Object.entries(composers).map(([composer, compose]) => {
  const { errors, hints, supergraphSdl } = compose(subgraphs);
  return [
    composer,
    {
      errors: (errors ?? []).map((error) => error.message),
      hints: (hints ?? []).map((hint) => hint.message),
      supergraph: supergraphSdl ?? null,
    },
  ];
});
console.log(JSON.stringify(Object.fromEntries(composed)));
