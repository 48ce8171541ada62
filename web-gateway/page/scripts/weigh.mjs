// What a browser fetches before the home page is there, gzipped: fails above the limit. Usage: node scripts/weigh.mjs DIST
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const limit = 350 * 1024;
const dist = process.argv[2] ?? 'dist';
const index = readFileSync(join(dist, 'index.html'), 'utf8');
const files = ['index.html', ...[...index.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1])];
const sizes = files.map((file) => [file, gzipSync(readFileSync(join(dist, file))).length]);
const total = sizes.reduce((sum, [, size]) => sum + size, 0);
if (files.length < 3) throw new Error('the index names no script and no style: this check looks at the wrong file');
console.log(`first load ${(total / 1024).toFixed(0)} KB gzip (limit ${limit / 1024}): ${sizes.map(([file, size]) => `${file} ${(size / 1024).toFixed(0)}`).join(', ')}`);
if (total > limit) process.exit(1);
