// Validates the custom resources in the JSON list on standard input, and prints the list of what is wrong.
//
// The validators are compiled from the schemas of the Gateway API and the Prometheus Operator. They ignore
// unknown fields, which the API server reports: those are the fields that a validator never reads.
import { json } from "node:stream/consumers";
import { validate as HTTPRoute } from "./node_modules/@kubernetes-models/gateway-api/_schemas/IoK8sSigsGatewayApiApisV1HTTPRoute.js";
import { validate as PodMonitor } from "./node_modules/@kubernetes-models/prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1PodMonitor.js";
import { validate as PrometheusRule } from "./node_modules/@kubernetes-models/prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1PrometheusRule.js";

const validators = { HTTPRoute, PodMonitor, PrometheusRule };

/** Wrap a value so that `unread` keeps the paths of the fields that nobody has read. */
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const fields = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, watched(item, `${path}/${key}`, unread)]),
  );
  if (!Array.isArray(value)) for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
  return new Proxy(Array.isArray(value) ? Object.values(fields) : fields, {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`);
      return target[key];
    },
  });
}

const problems = [];
for (const resource of await json(process.stdin)) {
  const unread = new Set();
  const validate = validators[resource.kind];
  if (!validate(watched(resource, resource.kind, unread))) {
    problems.push(...validate.errors.map((each) => `${resource.kind}${each.instancePath} ${each.message}`));
  }
  problems.push(...[...unread].map((path) => `${path} is unknown`));
}
console.log(JSON.stringify(problems));
