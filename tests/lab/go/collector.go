package main

// Property collectors: filters, and waiting for what changed since the version the caller knows.

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// filter remembers what it told its client about every object, so that only differences go out.
type filter struct {
	ref     moref
	spec    types.PropertyFilterSpec
	told    map[moref]map[string]uint64
	looked  uint64
	pending []pendingUpdate
}

type pendingUpdate struct {
	ref     moref
	content []byte
}

// collector serves one waiting thread; mu is held while an answer is put together, never while waiting.
type collector struct {
	ref     moref
	mu      sync.Mutex
	filters []*filter
	version int
	last    []byte
	stop    context.CancelFunc
	gone    bool
}

func (c *collector) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.stop != nil {
		c.stop()
	}
}

func (h *host) collectorOf(c *call) (*collector, *soapFault) {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	found := c.session.collectors[c.this.Value]
	if found == nil && c.this == *h.propertyCollectorRef() {
		found = &collector{ref: c.this}
		c.session.collectors[c.this.Value] = found
	}
	if found == nil {
		return nil, notFound(c.this)
	}
	return found, nil
}

func (h *host) createPropertyCollector(c *call) (interface{}, *soapFault) {
	made := &collector{ref: moref{Type: "PropertyCollector", Value: "session[" + c.session.info.Key + "]" + newUUID()}}
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	c.session.collectors[made.ref.Value] = made
	return made.ref, nil
}

func (h *host) destroyPropertyCollector(c *call) (interface{}, *soapFault) {
	found, f := h.collectorOf(c)
	if f != nil {
		return nil, f
	}
	found.cancel()
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	delete(c.session.collectors, c.this.Value)
	return nil, nil
}

func (h *host) createFilter(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.CreateFilter)
	found, f := h.collectorOf(c)
	if f != nil {
		return nil, f
	}
	if f := h.validatePaths(req.Spec); f != nil {
		return nil, f
	}
	h.store.mu.RLock()
	_, f = h.selectObjects(c.session, req.Spec)
	h.store.mu.RUnlock()
	if f != nil {
		return nil, f
	}
	made := &filter{ref: moref{Type: "PropertyFilter", Value: found.ref.Value + "-" + newUUID()}, spec: req.Spec}
	found.mu.Lock()
	defer found.mu.Unlock()
	found.filters = append(found.filters, made)
	return made.ref, nil
}

func (h *host) destroyPropertyFilter(c *call) (interface{}, *soapFault) {
	h.sessions.mu.Lock()
	collectors := make([]*collector, 0, len(c.session.collectors))
	for _, found := range c.session.collectors {
		collectors = append(collectors, found)
	}
	h.sessions.mu.Unlock()
	for _, found := range collectors {
		found.mu.Lock()
		for i, f := range found.filters {
			if f.ref == c.this {
				found.filters = append(found.filters[:i:i], found.filters[i+1:]...)
				found.mu.Unlock()
				return nil, nil
			}
		}
		found.mu.Unlock()
	}
	return nil, notFound(c.this)
}

func (h *host) cancelWaitForUpdates(c *call) (interface{}, *soapFault) {
	found, f := h.collectorOf(c)
	if f != nil {
		return nil, f
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	if found.stop != nil {
		found.stop()
	}
	return nil, nil
}

func hashOf(s string) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(s))
	return sum.Sum64()
}

// look brings a filter up to date with the inventory and queues what its client has to hear.
func (f *filter) look(h *host, s *session) *soapFault {
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	spec := f.spec
	if f.told != nil {
		// An object that is gone by now leaves; it does not spoil the rest of the filter.
		gone := true
		spec.ReportMissingObjectsInResults = &gone
	}
	refs, problem := h.selectObjects(s, spec)
	if problem != nil {
		if len(f.told) == 0 {
			return problem
		}
		refs = nil
	}
	if f.told == nil {
		f.told = map[moref]map[string]uint64{}
	}
	present := make(map[moref]bool, len(refs))
	for _, ref := range refs {
		present[ref] = true
		told, known := f.told[ref]
		if known && h.store.changed[ref] <= f.looked {
			continue
		}
		if update := f.compare(h, s, ref, told, !known); update != nil {
			f.pending = append(f.pending, pendingUpdate{ref, update})
		}
	}
	for ref := range f.told {
		if !present[ref] {
			delete(f.told, ref)
			var b bytes.Buffer
			b.WriteString("<objectSet><kind>leave</kind>")
			writeRef(&b, "obj", ref)
			b.WriteString("</objectSet>")
			f.pending = append(f.pending, pendingUpdate{ref, b.Bytes()})
		}
	}
	f.looked = h.store.revision
	return nil
}

func (f *filter) compare(h *host, s *session, ref moref, told map[string]uint64, enter bool) []byte {
	object, found := h.sessionObject(s, ref)
	if !found {
		return nil
	}
	paths, wanted := pathsFor(ref, object, f.spec)
	if !wanted {
		return nil
	}
	if told == nil {
		told = map[string]uint64{}
		f.told[ref] = told
	}
	var b bytes.Buffer
	changes := 0
	kind := "modify"
	if enter {
		kind = "enter"
	}
	b.WriteString("<objectSet><kind>" + kind + "</kind>")
	writeRef(&b, "obj", ref)
	for _, path := range paths {
		value, _ := lookup(object, path)
		encoded := encodeProperty(value)
		sum := hashOf(encoded)
		before, known := told[path]
		if (known && before == sum) || (!known && encoded == "") {
			continue
		}
		told[path] = sum
		changes++
		b.WriteString("<changeSet><name>")
		writeText(&b, path)
		b.WriteString("</name><op>assign</op>" + encoded + "</changeSet>")
	}
	b.WriteString("</objectSet>")
	if changes == 0 && !enter {
		return nil
	}
	return b.Bytes()
}

// gather makes the next answer; empty when nothing changed. The caller holds c.mu.
func (c *collector) gather(h *host, s *session, limit int) ([]byte, *soapFault) {
	var sets bytes.Buffer
	room, truncated := limit, false
	for _, f := range c.filters {
		if len(f.pending) == 0 {
			if problem := f.look(h, s); problem != nil {
				return nil, problem
			}
		}
		if len(f.pending) == 0 {
			continue
		}
		take := len(f.pending)
		if limit > 0 && take > room {
			take, truncated = room, true
		}
		if take == 0 {
			continue
		}
		sets.WriteString("<filterSet>")
		writeRef(&sets, "filter", f.ref)
		for _, update := range f.pending[:take] {
			sets.Write(update.content)
		}
		sets.WriteString("</filterSet>")
		f.pending = append([]pendingUpdate{}, f.pending[take:]...)
		room -= take
	}
	if sets.Len() == 0 {
		return nil, nil
	}
	c.version++
	var b bytes.Buffer
	fmt.Fprintf(&b, "<returnval><version>%d</version>%s", c.version, sets.String())
	if truncated {
		b.WriteString("<truncated>true</truncated>")
	}
	b.WriteString("</returnval>")
	c.last = b.Bytes()
	return c.last, nil
}

// checkVersion accepts "" (start over), the last version, or the one before it (the answer was lost on the way).
func (c *collector) checkVersion(version string) (replay []byte, f *soapFault) {
	switch version {
	case "":
		for _, f := range c.filters {
			f.told, f.pending, f.looked = nil, nil, 0
		}
	case strconv.Itoa(c.version):
	case strconv.Itoa(c.version - 1):
		if c.last == nil || c.version < 2 {
			return nil, fault(&types.InvalidCollectorVersion{})
		}
		return c.last, nil
	default:
		return nil, fault(&types.InvalidCollectorVersion{})
	}
	return nil, nil
}

func (h *host) waitForUpdatesEx(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.WaitForUpdatesEx)
	found, f := h.collectorOf(c)
	if f != nil {
		return nil, f
	}
	limit := h.settings.updateLimit()
	ctx, stop := context.WithCancel(c.request.Context())
	defer stop()
	if o := req.Options; o != nil {
		if o.MaxObjectUpdates > 0 && (limit == 0 || int(o.MaxObjectUpdates) < limit) {
			limit = int(o.MaxObjectUpdates)
		}
		if o.MaxWaitSeconds != nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(*o.MaxWaitSeconds)*time.Second)
			defer cancel()
		}
	}
	found.mu.Lock()
	if found.stop != nil {
		found.stop()
	}
	found.stop = stop
	replay, f := found.checkVersion(req.Version)
	found.mu.Unlock()
	if f != nil || replay != nil {
		return rawXML(replay), f
	}
	return h.waitLoop(c, found, ctx, limit)
}

func (h *host) waitLoop(c *call, found *collector, ctx context.Context, limit int) (interface{}, *soapFault) {
	h.sessions.mu.Lock()
	c.session.waiting++
	h.sessions.mu.Unlock()
	defer func() {
		h.sessions.mu.Lock()
		c.session.waiting--
		c.session.lastUsed = time.Now()
		h.sessions.mu.Unlock()
	}()
	for {
		change := h.store.nextChange()
		found.mu.Lock()
		gone := found.gone
		out, f := found.gather(h, c.session, limit)
		found.mu.Unlock()
		switch {
		case gone:
			return nil, fault(&types.RequestCanceled{})
		case f != nil:
			return nil, f
		case out != nil:
			return rawXML(out), nil
		}
		select {
		case <-change:
			// Changes come in bursts; a short pause puts one burst into one answer.
			time.Sleep(10 * time.Millisecond)
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded {
				return nil, nil
			}
			return nil, fault(&types.RequestCanceled{})
		}
	}
}
