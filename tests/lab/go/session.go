package main

// Logins and what belongs to one: views, filters, collectors, pages not fetched yet. Everything dies with the session.

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

const sessionCookie = "vmware_soap_session"

type session struct {
	info       types.UserSession
	cookie     string
	lastUsed   time.Time
	calls      int64
	views      map[string]*containerView
	collectors map[string]*collector
	pages      map[string][]byte
	pageOf     map[string]*pendingPages
	waiting    int
}

// sessions holds every live login of one host.
type sessions struct {
	mu          sync.Mutex
	byCookie    map[string]*session
	failures    map[string]int
	lockedUntil map[string]time.Time
}

func newSessions() *sessions {
	return &sessions{byCookie: map[string]*session{}, failures: map[string]int{}, lockedUntil: map[string]time.Time{}}
}

func randomHex(n int) string {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	return hex.EncodeToString(b)
}

func newUUID() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// current finds the live session of a request and renews it; an idle one is dropped here.
func (h *host) currentSession(r *http.Request) *session {
	value := ""
	for _, part := range strings.Split(strings.Join(r.Header["Cookie"], ";"), ";") {
		name, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name == sessionCookie {
			value = strings.Trim(v, `"`)
		}
	}
	if value == "" {
		return nil
	}
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	s := h.sessions.byCookie[value]
	if s == nil {
		return nil
	}
	if idle := h.settings.idle(); idle > 0 && s.waiting == 0 && time.Since(s.lastUsed) > idle {
		h.dropSession(s)
		return nil
	}
	s.lastUsed = time.Now()
	s.calls++
	return s
}

// dropSession forgets a session and wakes its waiters; the caller holds sessions.mu.
func (h *host) dropSession(s *session) {
	delete(h.sessions.byCookie, s.cookie)
	for _, c := range s.collectors {
		go c.cancel() // takes the collector's lock, which is held while sessions.mu is taken
	}
}

func (h *host) expireSessions() int {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	n := len(h.sessions.byCookie)
	for _, s := range h.sessions.byCookie {
		h.dropSession(s)
	}
	return n
}

func (h *host) login(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.Login)
	invalid := fault(&types.InvalidLogin{})
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	if c.session != nil {
		return nil, invalid
	}
	if !h.checkPassword(req.UserName, req.Password) {
		return nil, invalid
	}
	if len(h.sessions.byCookie) >= h.settings.sessionLimit() {
		h.dropIdlest()
	}
	if len(h.sessions.byCookie) >= h.settings.sessionLimit() {
		return nil, faultf(&types.SystemError{Reason: "session limit reached"}, "The session limit of this host is reached.")
	}
	now := time.Now()
	locale := req.Locale
	if locale == "" {
		locale = "en"
	}
	s := &session{cookie: randomHex(20), lastUsed: now, views: map[string]*containerView{},
		collectors: map[string]*collector{}, pageOf: map[string]*pendingPages{}}
	extension := false
	address, _, _ := strings.Cut(c.request.RemoteAddr, ":")
	s.info = types.UserSession{Key: newUUID(), UserName: req.UserName, FullName: req.UserName, LoginTime: now,
		LastActiveTime: now, Locale: locale, MessageLocale: locale, ExtensionSession: &extension, IpAddress: address,
		UserAgent: c.request.UserAgent()}
	h.sessions.byCookie[s.cookie] = s
	c.writer.Header().Set("Set-Cookie", sessionCookie+`="`+s.cookie+`"; Path=/; HttpOnly; Secure; `)
	return s.info, nil
}

// dropIdlest makes room by ending sessions idle past the limit; the caller holds sessions.mu.
func (h *host) dropIdlest() {
	idle := h.settings.idle()
	for _, s := range h.sessions.byCookie {
		if idle > 0 && s.waiting == 0 && time.Since(s.lastUsed) > idle {
			h.dropSession(s)
		}
	}
}

// checkPassword counts failures like Security.AccountLockFailures: five lock the account, with the same answer as a
// wrong password. The caller holds sessions.mu.
func (h *host) checkPassword(user, password string) bool {
	if until, locked := h.sessions.lockedUntil[user]; locked {
		if time.Now().Before(until) {
			return false
		}
		delete(h.sessions.lockedUntil, user)
		h.sessions.failures[user] = 0
	}
	if user == h.config.User && password == h.config.Password {
		h.sessions.failures[user] = 0
		return true
	}
	h.sessions.failures[user]++
	if h.sessions.failures[user] >= 5 {
		h.sessions.lockedUntil[user] = time.Now().Add(h.settings.lockTime())
	}
	return false
}

func (h *host) logout(c *call) (interface{}, *soapFault) {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	h.dropSession(c.session)
	return nil, nil
}

func (h *host) sessionIsActive(c *call) (interface{}, *soapFault) {
	if h.isESX() {
		return nil, fault(&types.NotImplemented{})
	}
	req := c.body.(*types.SessionIsActive)
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	for _, s := range h.sessions.byCookie {
		if s.info.Key == req.SessionID && s.info.UserName == req.UserName {
			return true, nil
		}
	}
	return false, nil
}

func (h *host) terminateSession(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.TerminateSession)
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	for _, key := range req.SessionId {
		if key == c.session.info.Key {
			return nil, fault(&types.InvalidArgument{InvalidProperty: "sessionId"})
		}
		for _, s := range h.sessions.byCookie {
			if s.info.Key == key {
				h.dropSession(s)
			}
		}
	}
	return nil, nil
}
