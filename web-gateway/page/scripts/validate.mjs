// Whether the gateway's OpenAPI document is one, by a validator that is not ours. Usage: node scripts/validate.mjs OPENAPI.json
import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';

const document = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const validator = new Validator();
const result = await validator.validate(document);
if (!result.valid) {
  console.error(JSON.stringify(result.errors, null, 1).slice(0, 20000));
  process.exit(1);
}
// It does not follow references.
const text = JSON.stringify(document);
const broken = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((one) => one[1]).filter((name) => !(name in document.components.schemas));
if (broken.length) {
  console.error(`references to nothing: ${[...new Set(broken)]}`);
  process.exit(1);
}
console.log(`OpenAPI ${validator.version}: valid, ${Object.keys(document.paths).length} paths, ${Object.keys(document.components.schemas).length} schemas`);
