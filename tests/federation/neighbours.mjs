// The subgraphs of other teams, each at the path of its name. Serves GraphQL by POST, and by GET at
// `/` what it was sent: the subgraph, the headers and the query. Ends when its stdin does.
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { graphql, parse } from "graphql";

const ROUNDS = 3;
const { sdls, data } = JSON.parse(process.argv[2]);

const encoded = (type, key) => Buffer.from(`${type}:${key}`).toString("base64");

function page(all, first, after) {
  const cursors = all.map((_, place) => encoded("Cursor", place));
  const start = after == null ? 0 : cursors.indexOf(after) + 1;
  if (after != null && start === 0) throw new Error("`after` is no cursor of this list.");
  const end = start + (first ?? ROUNDS);
  const edges = all.map((node, place) => ({ cursor: cursors[place], node })).slice(start, end);
  return {
    edges,
    pageInfo: {
      hasNextPage: end < all.length,
      hasPreviousPage: start > 0,
      startCursor: edges.at(0)?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

const reviews = Array.from({ length: ROUNDS }, (_, round) =>
  data.reviews.jobArns.map((audienceGenerationJobArn, place) => ({
    id: encoded("Review", round * data.reviews.jobArns.length + place),
    stars: 1 + ((round + place) % 5),
    text: `Review ${round + 1} of job ${place + 1}`,
    job: { audienceGenerationJobArn },
  })),
).flat();
const review = (wanted) => reviews.find(({ id }) => id === wanted) ?? null;

const campaigns = data.campaigns.modelIds.map((id, place) => ({
  id: encoded("Campaign", place),
  title: `Campaign ${place + 1}`,
  model: { id },
}));

const collaborations = data.teams.collaborationIds.map((id, number) => ({
  id,
  number,
  name: `Collaboration ${id.slice(0, 8)}`,
}));

const RESOLVERS = {
  reviews: {
    Query: {
      recentReviews: (_, { first }) => reviews.slice(0, first ?? reviews.length),
      reviewedJob: (_, reference) => reference,
      node: (_, { id }) => review(id),
    },
    Node: { __resolveType: () => "Review" },
    Review: { __resolveReference: ({ id }) => review(id) },
    AudienceGenerationJob: {
      __resolveReference: ({ audienceGenerationJobArn }) => ({ audienceGenerationJobArn }),
      reviews: ({ audienceGenerationJobArn: arn }, { first, after }) =>
        page(reviews.filter(({ job }) => job.audienceGenerationJobArn === arn), first, after),
    },
  },
  campaigns: {
    Query: { campaigns: (_, { first, after }) => page(campaigns, first, after) },
    Campaign: { __resolveReference: (key) => campaigns.find(({ id }) => id === key.id) },
    ConfiguredAudienceModel: {
      campaigns: ({ id }) => campaigns.filter(({ model }) => model.id === id),
    },
  },
  teams: {
    Query: { team: () => ({ name: "Insights", collaborations }) },
    Collaboration: {
      __resolveReference: (key) => collaborations.find(({ id, number }) => key.id === id || key.number === number),
    },
  },
  directory: {
    Query: { object: (_, key) => key },
    // Global ids begin with the name of the type.
    Node: { __resolveType: ({ id }) => Buffer.from(id, "base64").toString().split(":")[0] },
  },
};

const schemas = Object.fromEntries(
  Object.entries(sdls).map(([name, sdl]) => [
    name,
    buildSubgraphSchema({ typeDefs: parse(sdl), resolvers: RESOLVERS[name] ?? {} }),
  ]),
);

const received = [];
const server = createServer(async (request, response) => {
  let answer = received;
  if (request.method === "POST") {
    const subgraph = request.url.slice(1);
    const { query: source, variables: variableValues, operationName } = await json(request);
    received.push({ subgraph, headers: request.headers, query: source });
    answer = await graphql({
      schema: schemas[subgraph],
      source,
      rootValue: data[subgraph],
      variableValues,
      operationName,
    });
  }
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(answer));
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
