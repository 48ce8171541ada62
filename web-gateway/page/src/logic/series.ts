// Samples as columns for the chart. A gap in the data becomes a null, which the chart draws as a gap.
import type { Message } from '@/api/types';

export type Samples = Message<'QuerySamplesResponse'>;
export interface Columns {
  times: number[];
  cpu: (number | null)[];
  memory: (number | null)[];
}

export function columnsOf(samples: Samples): Columns {
  const columns: Columns = { times: [], cpu: [], memory: [] };
  const step = Math.max(1, samples.stepSeconds);
  let before = 0;
  for (const point of samples.points) {
    const time = new Date(point.time).getTime() / 1000;
    if (point.afterGap && columns.times.length) {
      // Just behind the point before it, so that nothing is drawn into the gap.
      columns.times.push(Math.min(before + step, (before + time) / 2));
      columns.cpu.push(null);
      columns.memory.push(null);
    }
    columns.times.push(time);
    columns.cpu.push(point.cpuPercent);
    columns.memory.push(samples.memoryTotalMb > 0 ? (100 * point.memoryUsedMb) / samples.memoryTotalMb : null);
    before = time;
  }
  return columns;
}

export const windows = { '30m': 1800, '2h': 7200, '6h': 21600, '24h': 86400, '7d': 604800, '30d': 2592000 } as const;
export type Window = keyof typeof windows;
