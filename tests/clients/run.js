// Runs one of the clients beside this file and prints what it returns as JSON.
const [client, options] = process.argv.slice(2);
if (!options) {
  console.error("usage: node run.js <client> <its options as JSON>");
  process.exit(2);
}
const { default: run } = await import(`./${client}.js`);
console.log(JSON.stringify(await run(JSON.parse(options))));
process.exit(0);
