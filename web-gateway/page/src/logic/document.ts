// Environment documents as files: the TOML of `drover apply -f`, and back. Tables are fields; lists of tables are named in the singular
// ([[group]], [[group.vm]]); references come without their collection.
import type { Body } from '@/api/types';
import { idOf } from '@/logic/names';

type Draft = Body<'PlanEnvironment'>['document'];
type Table = Record<string, unknown>;
const camel = (key: string): string => key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
// List of tables -> its name in the file.
const singular: Record<string, string> = { groups: 'group', vms: 'vm' };
const plural: Record<string, string> = { group: 'groups', vm: 'vms' };
// Fields that refer to resources -> their collection.
const references: Record<string, string> = { type: 'types', hypervisor: 'hypervisors', hypervisors: 'hypervisors' };

const refer = (collection: string, value: unknown): unknown =>
  Array.isArray(value) ? value.map((one) => refer(collection, one)) : typeof value === 'string' && value && !value.includes('/') ? `${collection}/${value}` : value;

function inward(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inward);
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'object' || value === null) return value;
  const out: Table = {};
  for (const [key, inner] of Object.entries(value as Table)) {
    const isTables = Array.isArray(inner) && inner.some((one) => typeof one === 'object');
    const name = camel(isTables ? (plural[key] ?? key) : key);
    out[name] = references[key] ? refer(references[key]!, inner) : inward(inner);
  }
  return out;
}

function outward(value: Table): Table {
  const out: Table = {};
  const tables: Table = {};
  for (const [key, inner] of Object.entries(value)) {
    if (inner === '' || inner === 0 || inner === false || inner === undefined || (Array.isArray(inner) && !inner.length)) continue;
    if (Array.isArray(inner) && typeof inner[0] === 'object') tables[singular[key] ?? snake(key)] = inner.map((one) => outward(one as Table));
    else if (Array.isArray(inner)) out[snake(key)] = references[key] ? inner.map(idOf) : inner;
    else if (typeof inner === 'object' && inner !== null) tables[snake(key)] = outward(inner as Table);
    else out[snake(key)] = references[key] ? idOf(inner as string) : inner;
  }
  return { ...out, ...tables };
}

// Reads TOML or JSON. Throws with a sentence for people, with the line where there is one.
export async function readEnvironment(text: string): Promise<Draft> {
  if (text.trimStart().startsWith('{')) return inward(JSON.parse(text)) as Draft;
  const { parse } = await import('smol-toml');
  return inward(parse(text)) as Draft;
}

export async function environmentText(document: object): Promise<string> {
  const { stringify } = await import('smol-toml');
  return `${stringify(outward(document as Table))}\n`;
}

export function download(fileName: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
