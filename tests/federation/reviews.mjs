// The subgraph of another team: reviews of jobs, and collaborations with their names.
// Serves GraphQL by POST, and by GET what headers it was sent. Ends when its stdin does.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { graphql, parse } from "graphql";

const ROUNDS = 3;
const jobArns = process.argv.slice(2);

const encoded = (type, key) => Buffer.from(`${type}:${key}`).toString("base64");
const reviews = Array.from({ length: ROUNDS }, (_, round) =>
  jobArns.map((audienceGenerationJobArn, place) => ({
    id: encoded("Review", round * jobArns.length + place),
    stars: 1 + ((round + place) % 5),
    text: `Review ${round + 1} of job ${place + 1}`,
    job: { audienceGenerationJobArn },
  })),
).flat();

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

const review = (wanted) => reviews.find(({ id }) => id === wanted) ?? null;
const schema = buildSubgraphSchema({
  typeDefs: parse(readFileSync(new URL("reviews.graphql", import.meta.url), "utf8")),
  resolvers: {
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
    Collaboration: {
      __resolveReference: ({ id }) => ({ id, name: `Collaboration ${id.slice(0, 8)}` }),
    },
  },
});

const received = [];
const server = createServer(async (request, response) => {
  let answer = received;
  if (request.method === "POST") {
    received.push(request.headers);
    const { query: source, variables: variableValues, operationName } = JSON.parse(await text(request));
    answer = await graphql({ schema, source, variableValues, operationName });
  }
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(answer));
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
