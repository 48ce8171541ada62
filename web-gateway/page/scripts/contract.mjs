// From the gateway's OpenAPI document to what the page's sources import: the types of all messages, and a table of the routes with
// who may call them. Usage: node scripts/contract.mjs OPENAPI.json [FOLDER]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import openapiTS, { astToString } from 'openapi-typescript';

const [source, folder = 'src/contract'] = process.argv.slice(2);
if (!source) {
  console.error('usage: node scripts/contract.mjs OPENAPI.json [FOLDER]');
  process.exit(2);
}

const text = readFileSync(source, 'utf8');
const contract = JSON.parse(text);

const routes = {};
for (const [path, methods] of Object.entries(contract.paths)) {
  for (const [verb, operation] of Object.entries(methods)) {
    if (!operation.operationId) continue;
    const name = operation.operationId;
    if (routes[name]) throw new Error(`two calls are named ${name}`);
    const access = operation['x-drover-access'];
    if (!access) throw new Error(`${name} does not say who may call it`);
    routes[name] = { verb: verb.toUpperCase(), path: operation['x-path'] ?? path, access };
  }
}

mkdirSync(folder, { recursive: true });
const note = '// Made by scripts/contract.mjs from the OpenAPI document; not edited, not committed.\n';
const lines = Object.entries(routes).map(([name, route]) => `  ${name}: ${JSON.stringify(route)},`);
writeFileSync(join(folder, 'routes.ts'), `${note}export const routes = {\n${lines.join('\n')}\n} as const;\n`);
writeFileSync(join(folder, 'openapi.d.ts'), note + astToString(await openapiTS(contract)));
console.log(`${lines.length} calls, ${Object.keys(contract.components.schemas).length} messages`);
