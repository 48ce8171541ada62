package main

// From HTTP to the handlers: what a server checks before it does anything.

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Allowed before a login.
var openMethods = map[string]bool{"RetrieveServiceContent": true, "Login": true, "RetrieveProperties": true,
	"RetrievePropertiesEx": true, "CurrentTime": false}

// Versions this server speaks; the first is its own.
var apiVersions = []string{"6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0", "5.5", "5.1", "5.0", "4.1", "4.0", "2.5u2", "2.5", "2.0"}

func (h *host) serveSDK(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return
	}
	h.rules.addBytes("sdk-in", int64(len(data)))
	out, status := h.answerCall(w, r, data)
	if out == nil {
		return
	}
	h.rules.addBytes("sdk-out", int64(len(out)))
	answer(w, status, out)
}

func (h *host) answerCall(w http.ResponseWriter, r *http.Request, data []byte) (out []byte, status int) {
	method, f := h.parseCall(r, data)
	if f != nil {
		return encodeFault(f), http.StatusInternalServerError
	}
	h.rules.count(method.name)
	c := &call{host: h, session: h.currentSession(r), method: method.name, request: r, writer: w}
	rule := h.rules.take(method.name, false)
	if rule != nil {
		problem, handled := rule.apply(w, r)
		if handled {
			return nil, 0
		}
		if problem != nil {
			return encodeFault(problem), http.StatusInternalServerError
		}
	}
	value, f := h.handle(c, method, data)
	if rule != nil && rule.Fault == "drop-after" {
		panic(http.ErrAbortHandler)
	}
	if f != nil {
		return encodeFault(f), http.StatusInternalServerError
	}
	if forwarded, ok := value.(forwardedAnswer); ok {
		return forwarded.body, forwarded.status
	}
	return encodeAnswer(c.method, value), http.StatusOK
}

// parseCall reads the envelope and the version header as strictly as a real server.
func (h *host) parseCall(r *http.Request, data []byte) (*xmlNode, *soapFault) {
	invalid := &types.InvalidRequest{}
	root, err := parseXML(data)
	if err != nil {
		return nil, faultf(invalid, "\nUnable to parse the request: %v\n\nwhile parsing SOAP envelope", err)
	}
	if root.name != "Envelope" || root.space != "http://schemas.xmlsoap.org/soap/envelope/" {
		return nil, faultf(invalid, "\nExpected element tag \"Envelope\" not found")
	}
	body := root.child("Body")
	if body == nil || len(body.children) != 1 {
		return nil, faultf(invalid, "\nThe SOAP body must hold exactly one method element")
	}
	method := body.children[0]
	if method.space != "urn:vim25" {
		return nil, faultf(invalid, "Unsupported namespace \"%s\" of method %s", method.space, method.name)
	}
	actions, present := r.Header["Soapaction"]
	if !present {
		// A caller without the header speaks the oldest API, which lacks these.
		if method.name == "RetrievePropertiesEx" || method.name == "WaitForUpdatesEx" {
			return nil, faultf(invalid, "Unable to resolve WSDL method name %s", method.name)
		}
		return method, nil
	}
	action := strings.Trim(actions[0], `"`)
	for _, version := range apiVersions {
		if action == "urn:vim25/"+version {
			return method, nil
		}
	}
	if action == "urn:vim25" {
		return method, nil
	}
	return nil, faultf(invalid, "Unsupported version URI \"%s\"", action)
}

func (h *host) handle(c *call, method *xmlNode, data []byte) (value interface{}, f *soapFault) {
	defer func() {
		if problem := recover(); problem != nil {
			if problem == http.ErrAbortHandler {
				panic(problem)
			}
			h.logf("panic in %s: %v\n%s", c.method, problem, debug.Stack())
			f = faultf(&types.SystemError{Reason: fmt.Sprint(problem)}, "A general system error occurred: %v", problem)
		}
	}()
	if problem := checkRequest(data, method); problem != nil {
		thisType := ""
		if this := method.child("_this"); this != nil {
			thisType, _ = this.attr("", "type")
		}
		return nil, faultf(&types.InvalidRequest{}, "%s", problem.sentence(data, method, "vim."+thisType))
	}
	decoded, err := simulator.UnmarshalBody(types.TypeFunc(), data)
	if err != nil {
		return nil, faultf(&types.InvalidRequest{}, "\n%v\n\nwhile parsing SOAP body", err)
	}
	c.this, c.body = decoded.This, decoded.Body
	if c.session == nil && !openMethods[c.method] {
		return nil, fault(&types.NotAuthenticated{NoPermission: types.NoPermission{Object: c.this, PrivilegeId: "System.View"}})
	}
	if f := h.checkTarget(c); f != nil {
		return nil, f
	}
	if f := h.checkEdition(c); f != nil {
		return nil, f
	}
	if own, ok := handlers[handlerKey{c.this.Type, c.method}]; ok {
		return own(c)
	}
	return h.forward(c, data)
}

// checkTarget answers ManagedObjectNotFound for objects that are gone, session objects included.
func (h *host) checkTarget(c *call) *soapFault {
	switch c.this.Type {
	case "PropertyCollector", "PropertyFilter":
		return nil
	}
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	if _, found := h.sessionObject(c.session, c.this); !found {
		if c.session == nil {
			return nil
		}
		return notFound(c.this)
	}
	return nil
}

type handlerKey struct{ kind, method string }

type forwardedAnswer struct {
	body   []byte
	status int
}

// forward gives a call to the simulator package, under a login of our own, and puts its answer into our spelling.
func (h *host) forward(c *call, data []byte) (interface{}, *soapFault) {
	object := getObject(c.this)
	name := strings.Replace(strings.Title(c.method), "_Task", "Task", 1)
	if object == nil || !reflect.ValueOf(object).MethodByName(name).IsValid() {
		return nil, faultf(&types.MethodNotFound{Receiver: c.this, Method: c.method},
			"The method is not found: %s of %s", c.method, c.this.Type)
	}
	r := httptest.NewRequest(http.MethodPost, "/sdk", bytes.NewReader(data))
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: h.innerCookie})
	recorder := httptest.NewRecorder()
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.inner.ServeSDK(recorder, r)
	h.store.touch(c.this)
	out := recorder.Body.Bytes()
	out = bytes.ReplaceAll(out, []byte(` xmlns:XMLSchema-instance="http://www.w3.org/2001/XMLSchema-instance"`), nil)
	out = bytes.ReplaceAll(out, []byte("XMLSchema-instance:type="), []byte("xsi:type="))
	return forwardedAnswer{out, recorder.Code}, nil
}
