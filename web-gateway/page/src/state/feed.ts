// What the live stream says, in one shape for the shared worker and the page. Pure but for the EventSource it is given.
export type Change =
  | { kind: 'event'; event: unknown }
  | { kind: 'changed'; name: string }
  | { kind: 'deleted'; name: string }
  // Something was missed: read again what is shown.
  | { kind: 'resync' }
  | { kind: 'state'; state: FeedState; at: number };
// live: all that happens arrives. degraded: the gateway is there, its controller is not. connecting: no gateway.
export type FeedState = 'connecting' | 'live' | 'degraded';

// One message of the stream; null for a mere sign of life.
export function parse(data: string): Change | null {
  let body: Record<string, unknown>;
  try {
    body = JSON.parse(data) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof body.result === 'object' && body.result !== null) body = body.result as Record<string, unknown>;
  if (body.event) return { kind: 'event', event: body.event };
  if (typeof body.changed === 'string' && body.changed) return { kind: 'changed', name: body.changed };
  if (typeof body.deleted === 'string' && body.deleted) return { kind: 'deleted', name: body.deleted };
  if (body.gap) return { kind: 'resync' };
  return null;
}

// Keeps one stream open for ever: an EventSource gives up when a proxy answers an error, so it is opened anew.
export class Feed {
  private source: EventSource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private state: FeedState = 'connecting';
  private wasLive = false;
  constructor(
    private readonly url: string,
    private readonly tell: (change: Change) => void,
  ) {}

  get now(): FeedState {
    return this.state;
  }

  open(): void {
    this.close();
    const source = new EventSource(this.url, { withCredentials: true });
    this.source = source;
    const read = (message: MessageEvent<string>): void => {
      const change = parse(message.data);
      // A gap tells nothing about now.
      if (change?.kind !== 'resync') this.set('live');
      if (change) this.tell(change);
    };
    source.onopen = () => (this.failures = 0);
    source.onmessage = read;
    source.addEventListener('live', () => {
      this.set('live');
      // What happened while nobody listened may be gone.
      if (this.wasLive) this.tell({ kind: 'resync' });
      this.wasLive = true;
    });
    source.addEventListener('degraded', () => this.set('degraded'));
    // The session has ended: reading again finds that out.
    source.addEventListener('failed', () => this.tell({ kind: 'resync' }));
    source.onerror = () => {
      this.set('connecting');
      if (source.readyState !== EventSource.CLOSED) return;
      source.close();
      this.failures += 1;
      this.timer = setTimeout(() => this.open(), Math.min(10_000, 500 * 2 ** this.failures));
    };
  }

  close(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  private set(state: FeedState): void {
    const changed = state !== this.state;
    this.state = state;
    if (changed || state === 'live') this.tell({ kind: 'state', state, at: Date.now() });
  }
}
