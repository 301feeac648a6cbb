// The official SDKs for Node.
//
// usage: flows.mjs ENVIRONMENT [--list | FLOW...], where the environment is one of scripts/sdk-environments: node,
// node-v1 or node-newest

const [, , environment, ...names] = process.argv;
if (!['node', 'node-v1', 'node-newest'].includes(environment)) {
  console.error('usage: flows.mjs node|node-v1|node-newest [--list | FLOW...]');
  process.exit(2);
}
const { isV1, main } = await import('./harness.mjs');
await import('./flows_both.mjs');
await import('./flows_files.mjs');
await import('./flows_code.mjs');
await import(isV1 ? './flows_v1.mjs' : './flows_v2.mjs');
if (!isV1) await import('./flows_search.mjs');
await main(names);
