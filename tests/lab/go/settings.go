package main

// The switches of one host: limits, delays and failures, changed from outside while it runs.

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// settingDefaults are all switches with what they start at. Times are in seconds.
var settingDefaults = map[string]string{
	"page-size":     "100",           // objects per RetrievePropertiesEx answer; 0 = all
	"update-limit":  "100",           // objects per WaitForUpdatesEx answer; 0 = all
	"session-idle":  "1800",          // seconds until an unused session is gone
	"session-limit": "128",           // logins at the same time
	"lock-time":     "900",           // how long five wrong passwords lock an account
	"tools":         "on",            // on, off (never start), or the name of one VM to stay off
	"tools-delay":   "0.3",           // from power-on to running VMware Tools
	"boot-delay":    "0",             // from power-on to the guest's first process
	"capacity":      "1099511627776", // bytes of the datastore
	"free":          "",              // free bytes to pretend; empty = what is really used counts
	"copy-rate":     "0",             // bytes per second of a disk copy; 0 = as fast as it goes
	"question":      "off",           // on = a registered copy asks moved-or-copied at power-on
}

type settings struct {
	mu     sync.Mutex
	values map[string]string
}

func newSettings() *settings {
	s := &settings{values: map[string]string{}}
	for name, value := range settingDefaults {
		s.values[name] = value
	}
	return s
}

func (s *settings) get(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[name]
}

func (s *settings) set(name, value string) error {
	if _, ok := settingDefaults[name]; !ok {
		return fmt.Errorf("no setting %q; there are: %s", name, strings.Join(settingNames(), " "))
	}
	switch name {
	case "tools", "question", "free":
	default:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return fmt.Errorf("setting %s wants a number, not %q", name, value)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] = value
	return nil
}

func settingNames() []string {
	var names []string
	for name := range settingDefaults {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (s *settings) number(name string) float64 {
	n, _ := strconv.ParseFloat(s.get(name), 64)
	return n
}

func (s *settings) duration(name string) time.Duration {
	return time.Duration(s.number(name) * float64(time.Second))
}

func (s *settings) idle() time.Duration       { return s.duration("session-idle") }
func (s *settings) lockTime() time.Duration   { return s.duration("lock-time") }
func (s *settings) sessionLimit() int         { return int(s.number("session-limit")) }
func (s *settings) pageSize() int             { return int(s.number("page-size")) }
func (s *settings) updateLimit() int          { return int(s.number("update-limit")) }
func (s *settings) toolsDelay() time.Duration { return s.duration("tools-delay") }

func (s *settings) toolsOff(vm string) bool {
	value := s.get("tools")
	return value == "off" || value == vm
}
