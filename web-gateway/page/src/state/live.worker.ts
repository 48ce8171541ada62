// Shared by all tabs: browsers allow six connections to a server, and a stream in each tab would use them up.
import { Feed, type Change } from '@/state/feed';

const ports = new Set<MessagePort>();
let feed: Feed | null = null;

(self as unknown as SharedWorkerGlobalScope).onconnect = (event) => {
  const port = event.ports[0]!;
  port.onmessage = (message: MessageEvent<{ do: 'open' | 'leave'; url: string }>) => {
    if (message.data.do === 'leave') {
      ports.delete(port);
      if (ports.size === 0) {
        feed?.close();
        feed = null;
      }
      return;
    }
    ports.add(port);
    const tell = (change: Change): void => ports.forEach((one) => one.postMessage(change));
    if (feed === null) {
      feed = new Feed(message.data.url, tell);
      feed.open();
    } else {
      port.postMessage({ kind: 'state', state: feed.now, at: Date.now() } satisfies Change);
    }
  };
};
