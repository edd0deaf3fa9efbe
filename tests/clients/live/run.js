// Runs subscriptions and queries. Reads commands and prints what clients are told, as lines of JSON.
import { createInterface } from "node:readline";
import { clients, failure } from "./clients.js";

const print = (id, event) => console.log(JSON.stringify({ id, ...event }));

const connections = new Map();
function connect({ client, url, headers }) {
  const key = JSON.stringify([client, url, headers]);
  if (!connections.has(key)) connections.set(key, clients[client](url, headers));
  return connections.get(key);
}

const leaving = new Map();
const commands = {
  subscribe({ id, query, variables, ...options }) {
    const leave = connect(options).subscribe(query, variables, {
      next: (data) => print(id, { next: data }),
      error: (error) => print(id, { error: failure(error) }),
      complete: () => print(id, { complete: true }),
    });
    leaving.set(id, leave);
  },
  async query({ id, query, variables, ...options }) {
    print(id, { next: await connect(options).query(query, variables) });
  },
  leave({ id }) {
    leaving.get(id)();
  },
  leaveAll() {
    for (const leave of leaving.values()) leave();
    leaving.clear();
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { command, ...options } = JSON.parse(line);
  commands[command](options);
});
lines.on("close", () => process.exit(0));
console.log("ready");
