package main

// Faults on demand: METHOD answers with a named fault, late, or not at all, a number of times.

import (
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// faultRule is one switch. Fault is a fault class, "drop" (close the connection unanswered), "drop-after" (do the work,
// then close), "http-NNN", or "delay". In=task puts the fault into the task instead of the call.
type faultRule struct {
	Method string  `json:"method"`
	Fault  string  `json:"fault"`
	Times  int     `json:"times"`
	Skip   int     `json:"skip"`
	Delay  float64 `json:"delay"`
	InTask bool    `json:"in_task"`
}

type faultRules struct {
	mu    sync.Mutex
	rules []*faultRule
	calls map[string]int
	bytes map[string]int64
}

func newFaultRules() *faultRules {
	return &faultRules{calls: map[string]int{}, bytes: map[string]int64{}}
}

func (r *faultRules) add(rule faultRule) error {
	switch rule.Fault {
	case "drop", "drop-after", "delay":
	default:
		var status int
		if n, _ := fmt.Sscanf(rule.Fault, "http-%d", &status); n == 1 {
			break
		}
		if _, err := newFault(rule.Fault); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = append(r.rules, &rule)
	return nil
}

func (r *faultRules) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = nil
}

// about tells whether a rule is for a method: its name, "*" for all, "changes" for all that change host or guest.
func (rule *faultRule) about(method string) bool {
	switch rule.Method {
	case method, "*":
		return true
	case "changes":
		return isChange(method)
	}
	return false
}

// take finds the rule for a call and uses it up once. Task rules are only taken by tasks.
func (r *faultRules) take(method string, inTask bool) *faultRule {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, rule := range r.rules {
		if rule.InTask != inTask || !rule.about(method) {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			continue
		}
		used := *rule
		if rule.Times > 0 {
			if rule.Times--; rule.Times == 0 {
				r.rules = append(r.rules[:i:i], r.rules[i+1:]...)
			}
		}
		return &used
	}
	return nil
}

func (r *faultRules) count(method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[method]++
}

func (r *faultRules) addBytes(kind string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes[kind] += n
}

// newFault makes a fault of a class by name.
func newFault(name string) (types.BaseMethodFault, error) {
	t, ok := types.TypeFunc()(name)
	if ok {
		if detail, ok := reflect.New(t).Interface().(types.BaseMethodFault); ok {
			return detail, nil
		}
	}
	return nil, fmt.Errorf("no fault class %q (or drop, drop-after, delay, http-503)", name)
}

// apply carries a rule out before the call; handled means the call must not go on.
func (rule *faultRule) apply(w http.ResponseWriter, r *http.Request) (f *soapFault, handled bool) {
	if rule.Delay > 0 {
		select {
		case <-time.After(time.Duration(rule.Delay * float64(time.Second))):
		case <-r.Context().Done():
			return nil, true
		}
	}
	var status int
	if n, _ := fmt.Sscanf(rule.Fault, "http-%d", &status); n == 1 {
		http.Error(w, http.StatusText(status), status)
		return nil, true
	}
	switch rule.Fault {
	case "delay", "drop-after":
		return nil, false
	case "drop":
		panic(http.ErrAbortHandler)
	}
	detail, err := newFault(rule.Fault)
	if err != nil {
		return faultf(&types.SystemError{Reason: err.Error()}, "%v", err), false
	}
	return fault(detail), false
}
