package main

// The inventory: every managed object by reference, one lock, and a revision per object that the property collectors
// follow. The simulator package supplies the objects a host has from the start; machines and tasks are our own.

import (
	"reflect"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type moref = types.ManagedObjectReference

// store guards the managed objects. Hold mu to read or change any of them; never over disk, process or network work.
type store struct {
	mu       sync.RWMutex
	revision uint64
	changed  map[moref]uint64
	removed  map[moref]uint64
	wakeMu   sync.Mutex
	wake     chan struct{}
}

func newStore() *store {
	return &store{changed: map[moref]uint64{}, removed: map[moref]uint64{}, wake: make(chan struct{})}
}

// touch marks an object as changed; the caller holds mu.
func (s *store) touch(refs ...moref) {
	s.revision++
	for _, ref := range refs {
		s.changed[ref] = s.revision
	}
	s.wakeMu.Lock()
	close(s.wake)
	s.wake = make(chan struct{})
	s.wakeMu.Unlock()
}

// nextChange is closed at the first change after this call.
func (s *store) nextChange() chan struct{} {
	s.wakeMu.Lock()
	defer s.wakeMu.Unlock()
	return s.wake
}

// update runs f under the lock and marks the object as changed.
func (s *store) update(ref moref, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.touch(ref)
}

func (s *store) put(object mo.Reference, dependents ...moref) {
	simulator.Map.Put(object)
	s.touch(append(dependents, object.Reference())...)
}

func (s *store) remove(ref moref, dependents ...moref) {
	simulator.Map.Remove(ref)
	delete(s.changed, ref)
	s.touch(dependents...)
}

func getObject(ref moref) mo.Reference { return simulator.Map.Get(ref) }

// managedObject digs out the mo struct of an object, which is its own type or its first embedded field.
func managedObject(object mo.Reference) reflect.Value {
	v := reflect.ValueOf(object)
	for v.Kind() == reflect.Ptr {
		v = v.Elem()
	}
	for v.Type().PkgPath() != moPackage && v.Kind() == reflect.Struct && v.NumField() > 0 {
		v = v.Field(0)
		for v.Kind() == reflect.Ptr {
			v = v.Elem()
		}
	}
	return v
}

var moPackage = reflect.TypeOf(mo.VirtualMachine{}).PkgPath()
