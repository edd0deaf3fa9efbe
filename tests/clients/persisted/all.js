// Runs clients of this folder one after another, and returns what each returns.
export default async function run(scenarios) {
  const results = [];
  for (const { client, ...options } of scenarios) {
    const { default: run } = await import(`./${client}.js`);
    results.push(await run(options));
  }
  return results;
}
