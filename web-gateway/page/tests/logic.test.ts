// The page's pure parts, as tables.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ApiError, pathOf, queryOf, requestId } from '@/api/call';
import { actions, actionWord } from '@/i18n/actions';
import { inChinese } from '@/i18n/operations';
import { problemInChinese } from '@/i18n/problems';
import { en } from '@/i18n/en';
import { fill } from '@/i18n/fill';
import { zh } from '@/i18n/zh';
import { unread } from '@/logic/copies';
import { linesOf } from '@/logic/diff';
import { environmentText, readEnvironment } from '@/logic/document';
import { known, violationOf, otherViolations } from '@/logic/violations';
import { idOf, isId, pageOf } from '@/logic/names';
import { kindOf, withKind } from '@/logic/probe';
import { columnsOf, type Samples } from '@/logic/series';
import { replaced, servicesOf, signature } from '@/logic/vms';
import { parse } from '@/state/feed';
import type { ServiceStatus, Vm } from '@/api/types';

test.each([
  ['/v1/vms/{vm}', ['vms/web-1'], '/v1/vms/web-1'],
  ['/v1/{name}', ['vms/web-1'], '/v1/vms/web-1'],
  ['/v1/vms/{vm}/services/{service}:output', ['vms/web-1', 'my service'], '/v1/vms/web-1/services/my%20service:output'],
  ['/v1/operations/{operation}:cancel', ['operations/01'], '/v1/operations/01:cancel'],
  ['/v1/vms:power', [], '/v1/vms:power'],
  ['/v1/users/{user}', ['users/a?b'], '/v1/users/a%3Fb'],
])('path %s of %j', (template, names, path) => expect(pathOf(template, names)).toBe(path));

test.each([
  [{}, ''],
  [{ search: '', skip: undefined, page: null }, ''],
  [{ pageSize: 10, states: ['A', 'B'], validateOnly: true }, '?pageSize=10&states=A&states=B&validateOnly=true'],
  [{ search: '中文 &' }, '?search=%E4%B8%AD%E6%96%87+%26'],
])('query of %j', (values, text) => expect(queryOf(values)).toBe(text));

test('request ids are UUIDs, each another', () => {
  expect(requestId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(requestId()).not.toBe(requestId());
});

test.each([
  ['plain', {}, 'plain'],
  ['{n} VMs', { n: 3 }, '3 VMs'],
  ['{n|one VM|{n} VMs}', { n: 1 }, 'one VM'],
  ['Delete with {n|one VM|{n} VMs}?', { n: 12 }, 'Delete with 12 VMs?'],
  ['{missing} stays', {}, '{missing} stays'],
])('fill %s with %j', (text, values, filled) => expect(fill(text, values as Record<string, string | number>)).toBe(filled));

test('both languages use the same values', () => {
  const values = (text: string): string[] => [...new Set([...text.matchAll(/\{(\w+)/g)].map((match) => match[1]!))].sort();
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    // Chinese may leave out what it says without a number.
    for (const value of values(zh[key])) expect(values(en[key]), key).toContain(value);
    expect(zh[key].trim(), key).not.toBe('');
  }
});

test('every call that is logged has its Chinese word', () => {
  type Call = { summary: string; 'x-drover-log': boolean };
  const contract = JSON.parse(readFileSync('openapi.json', 'utf8')) as { paths: Record<string, Record<string, Call>> };
  const logged = Object.values(contract.paths).flatMap((verbs) => Object.values(verbs)).filter((one) => one['x-drover-log'] === true);
  expect([...new Set(logged.map((one) => one.summary))].sort()).toEqual(Object.keys(actions).sort());
});

test.each([
  ['nothing', [], false],
  ['what was never read', [{ readTime: '2026-01-01T00:00:00Z' }, {}], true],
  ['what was read just now', [{ readTime: '2026-01-01T00:00:00Z' }], false],
  ['what was read long ago', [{ readTime: '2025-12-31T23:58:00Z' }], true],
])('working copies: %s', (_, rows, is) => expect(unread(rows as { readTime: string }[], Date.parse('2026-01-01T00:00:30Z'))).toBe(is));

test('a health probe has one kind', () => {
  expect(kindOf(undefined)).toBe('none');
  expect(withKind({ tcpPort: 8080, threshold: 4 }, 'http')).toEqual({ http: '', threshold: 4 });
  expect(kindOf(withKind(undefined, 'command'))).toBe('command');
  expect(withKind({ http: '80/' }, 'none')).toBeUndefined();
});

const vm = (fields: Partial<Vm>): Vm => ({ name: 'vms/a', reachability: 'REACHABILITY_UP', power: 'POWER_STATE_ON', agentState: 'AGENT_STATE_CONNECTED', state: 'STATE_READY', services: [], ...fields }) as Vm;
const service = (name: string, state: string): ServiceStatus => ({ name, state, pid: 1, since: '', restarts: 0, lastOutput: '' }) as ServiceStatus;

describe('rows of VMs', () => {
  test('are replaced where they stand', () => {
    const rows = [vm({ name: 'vms/b' }), vm({ name: 'vms/a' })];
    const fresh = vm({ name: 'vms/a', power: 'POWER_STATE_OFF' });
    expect(replaced(rows, new Map([['vms/a', fresh], ['vms/z', fresh]]))).toEqual([rows[0], fresh]);
  });
  test('tell the worst service', () => {
    const summary = servicesOf(vm({ services: [service('a', 'STATE_RUNNING'), service('b', 'STATE_STOPPED'), service('c', 'STATE_GIVEN_UP')] }));
    expect([summary.running, summary.total, summary.worst?.name]).toEqual([1, 3, 'c']);
  });
  test('change by what an operator looks at', () => {
    expect(signature(vm({}))).not.toBe(signature(vm({ services: [service('a', 'STATE_RUNNING')] })));
    expect(signature(vm({ cpuPercent: 1 }))).toBe(signature(vm({ cpuPercent: 2 })));
  });
});

test.each([
  ['{"changed":"vms/a"}', { kind: 'changed', name: 'vms/a' }],
  ['{"result":{"deleted":"vms/a"}}', { kind: 'deleted', name: 'vms/a' }],
  ['{"event":{"sequence":"7"}}', { kind: 'event', event: { sequence: '7' } }],
  ['{"gap":{"afterSequence":"7"}}', { kind: 'resync' }],
  ['{"heartbeat":{}}', null],
  ['not json', null],
])('live %s', (data, change) => expect(parse(data)).toEqual(change));

test('a gap in the samples is a gap in the columns', () => {
  const point = (time: string, cpuPercent: number, afterGap = false): object => ({ time, cpuPercent, memoryUsedMb: 512, afterGap });
  const samples = { stepSeconds: 10, memoryTotalMb: 1024, points: [point('1970-01-01T00:00:10Z', 1), point('1970-01-01T00:05:00Z', 2, true)] } as unknown as Samples;
  expect(columnsOf(samples)).toEqual({ times: [10, 20, 300], cpu: [1, null, 2], memory: [50, null, 50] });
  expect(columnsOf({ ...samples, memoryTotalMb: 0 } as Samples).memory).toEqual([null, null, null]);
});

describe('environment documents', () => {
  const toml = 'environment = "shop"\naddress_pool = ["10.0.0.1-10.0.0.9"]\nhypervisors = ["esxi1"]\n[network]\nnetmask = "255.0.0.0"\n[[group]]\ntype = "web"\ncount = 2\nmemory_mb = 512\n[[group.vm]]\nvm = "w1"\nip = "10.0.0.1"\n';
  const document = {
    environment: 'shop',
    addressPool: ['10.0.0.1-10.0.0.9'],
    hypervisors: ['hypervisors/esxi1'],
    network: { netmask: '255.0.0.0' },
    groups: [{ type: 'types/web', count: 2, memoryMb: 512, vms: [{ vm: 'w1', ip: '10.0.0.1' }] }],
  };
  test('are read', async () => expect(await readEnvironment(toml)).toEqual(document));
  test('are read as JSON', async () => expect(await readEnvironment(JSON.stringify(document))).toEqual(document));
  test('come back as they were', async () => expect(await readEnvironment(await environmentText({ ...document, displayName: '', guestPassword: '' }))).toEqual(document));
  test('with a mistake name the line', async () => await expect(readEnvironment('environment = \n')).rejects.toThrow(/1:/));
});

test('violations find their field in either spelling', () => {
  const error = ApiError.of(400, { code: 3, message: 'no', details: [{ '@type': 'x/google.rpc.BadRequest', fieldViolations: [{ field: 'vm.network.ip', description: 'bad' }, { field: 'vm_id', description: 'needed' }] }] }, '');
  expect(violationOf(error, 'network.ip')).toBe('bad');
  expect(violationOf(error, 'vmId')).toBe('needed');
  expect(violationOf(error, 'ip2')).toBe('');
  expect(otherViolations(error, ['vm_id'])).toEqual(['vm.network.ip: bad']);
});

test.each([
  ['is required', 'form.required'],
  ["must be 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit", 'form.bad_id'],
  ['must be 1 to 128, not 200', 'form.bad_range'],
  ['must be a dotted IPv4 netmask, e.g. 255.255.255.0', 'form.bad_netmask'],
  ['belongs to box', undefined],
])('the page has words for: %s', (description, key) => expect(known(description)?.key).toBe(key));

test.each([
  ['create VM', '创建虚拟机'],
  ['check: create VM', '预检: 创建虚拟机'],
  ['something new', ''],
])('in the log: %s', (action, word) => expect(actionWord(action)).toBe(word));

test.each([
  ['create VM restart', '创建虚拟机 restart'],
  ['restart all services of 1 VM', '重启 1 台虚拟机的所有服务'],
  ['stop web, api of app-1', '停止 app-1 的 web, api'],
  ['upgrade 12 VMs of shop to revision 7', '将 shop 的 12 台虚拟机升级到版本 7'],
  ['upgrade app to its previous revision of app-1', '将 app-1 的 app 回退到上一版本'],
  ['copying disk 1 of 2 to [ds] a/a.vmdk', '复制第 1/2 个磁盘到 [ds] a/a.vmdk'],
  ['copy the template: cloning tpl to a', '复制模板: 将 tpl 克隆为 a'],
  ['update: something new', '更新: something new'],
  ['something new: update', ''],
])('of an operation: %s', (text, words) => expect(inChinese(text)).toBe(words));

test.each([
  ['must have at least 12 characters', '至少 12 个字符'],
  ['10.0.9.1 is not in the network of 10.0.0.5/255.255.255.0', '10.0.9.1 不在 10.0.0.5/255.255.255.0 的网络中'],
  ['"redis" is not a service of web, the type of app-1; it has nginx, php', 'app-1 的类型 web 没有服务“redis”;它的服务:nginx, php'],
  ['"redis" is not a service of the type', '该类型没有服务“redis”'],
  ['has a "${" that is neither ${ID.ip} nor ${ID.port}', '含有“${”,但既不是 ${ID.ip} 也不是 ${ID.port}'],
  ['must be "en" or "zh-CN"', '必须是 en 或 zh-CN'],
  ['something new', ''],
])('of a field: %s', (description, words) => expect(problemInChinese(description)).toBe(words));

test('an answer that is no status is an error all the same', () => {
  expect(ApiError.of(502, null, 'r1')).toMatchObject({ status: 502, code: 2, message: 'HTTP 502', requestId: 'r1' });
});

test('names', () => {
  expect([idOf('vms/a'), idOf(''), idOf(undefined)]).toEqual(['a', '', '']);
  expect(['a', '1-b', '', '-a', 'A', 'a_b', 'a'.repeat(64)].map(isId)).toEqual([true, true, false, false, false, false, false]);
  expect([pageOf('vms/a'), pageOf('users/a')]).toEqual(['/vms/a', '']);
});

test('lines of a diff', () => {
  expect(linesOf('--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z\n').map((line) => line.kind)).toEqual(['place', 'place', 'place', 'removed', 'added', 'same']);
});
