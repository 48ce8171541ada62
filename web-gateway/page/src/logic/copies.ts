// Working copies as the server last knew them.
import type { WorkingCopy } from '@/api/types';

// The server takes a reading for old after a minute, and then asks again.
const old = 60_000;
export const unread = (rows: Pick<WorkingCopy, 'readTime'>[], now: number): boolean => rows.some((row) => !row.readTime || now - new Date(row.readTime).getTime() > old);
