package main

// RetrieveProperties(Ex) with pages: a host decides itself how much goes into one answer.

import (
	"bytes"
	"fmt"

	"github.com/vmware/govmomi/vim25/types"
)

type pendingPages struct {
	objects [][]byte
	size    int
}

func (h *host) collectObjects(s *session, specs []types.PropertyFilterSpec) ([][]byte, *soapFault) {
	for _, spec := range specs {
		if f := h.validatePaths(spec); f != nil {
			return nil, f
		}
	}
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	var objects [][]byte
	for _, spec := range specs {
		refs, f := h.selectObjects(s, spec)
		if f != nil {
			return nil, f
		}
		for _, ref := range refs {
			if content := h.objectContent(s, ref, spec); content != nil {
				objects = append(objects, content)
			}
		}
	}
	return objects, nil
}

func (h *host) retrievePropertiesEx(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.RetrievePropertiesEx)
	objects, f := h.collectObjects(c.session, req.SpecSet)
	if f != nil {
		return nil, f
	}
	size := h.settings.pageSize()
	if n := int(req.Options.MaxObjects); n > 0 && (size == 0 || n < size) {
		size = n
	} else if n < 0 {
		return nil, fault(&types.InvalidArgument{InvalidProperty: "options.maxObjects"})
	}
	return h.page(c, &pendingPages{objects, size}), nil
}

// page cuts the next answer off the pending objects and leaves a single-use token for the rest.
func (h *host) page(c *call, p *pendingPages) interface{} {
	if len(p.objects) == 0 {
		return nil
	}
	now, rest := p.objects, [][]byte(nil)
	if p.size > 0 && len(now) > p.size {
		now, rest = now[:p.size], now[p.size:]
	}
	var b bytes.Buffer
	b.WriteString("<returnval>")
	if len(rest) > 0 && c.session != nil {
		token := fmt.Sprintf("%d-%s", len(rest), randomHex(8))
		h.sessions.mu.Lock()
		c.session.pageOf[token] = &pendingPages{rest, p.size}
		h.sessions.mu.Unlock()
		b.WriteString("<token>" + token + "</token>")
	}
	for _, object := range now {
		b.Write(object)
	}
	b.WriteString("</returnval>")
	return rawXML(b.Bytes())
}

func (h *host) takePages(c *call, token string) (*pendingPages, *soapFault) {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	p := c.session.pageOf[token]
	if p == nil {
		return nil, fault(&types.InvalidArgument{InvalidProperty: "token"})
	}
	delete(c.session.pageOf, token)
	return p, nil
}

func (h *host) continueRetrieve(c *call) (interface{}, *soapFault) {
	p, f := h.takePages(c, c.body.(*types.ContinueRetrievePropertiesEx).Token)
	if f != nil {
		return nil, f
	}
	return h.page(c, p), nil
}

func (h *host) cancelRetrieve(c *call) (interface{}, *soapFault) {
	_, f := h.takePages(c, c.body.(*types.CancelRetrievePropertiesEx).Token)
	return nil, f
}

func (h *host) retrieveProperties(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.RetrieveProperties)
	objects, f := h.collectObjects(c.session, req.SpecSet)
	if f != nil {
		return nil, f
	}
	var b bytes.Buffer
	for _, object := range objects {
		b.WriteString("<returnval>")
		b.Write(bytes.TrimSuffix(bytes.TrimPrefix(object, []byte("<objects>")), []byte("</objects>")))
		b.WriteString("</returnval>")
	}
	return rawXML(b.Bytes()), nil
}
