package main

// Long work: a Task object that runs on by itself, with progress, and may be cancelled.

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Finished tasks stay readable this long, as on a host.
const taskRetention = 10 * time.Minute

type task struct {
	mo.Task
	host   *host
	ctx    context.Context
	cancel context.CancelFunc
}

type taskList struct {
	mu      sync.Mutex
	counter int64
	running map[moref]*task
}

func newTaskList() *taskList { return &taskList{running: map[moref]*task{}} }

// taskSpec says what a task is called and whom it works on.
type taskSpec struct {
	method      string // the API method, for fault rules
	description string // e.g. VirtualMachine.powerOn
	entity      moref
	entityName  string
	user        string
	cancelable  bool
	ended       func() // however it ended, before anybody can see that
}

type taskWork func(*task) (interface{}, *soapFault)

// start makes the Task object and runs the work beside the call.
func (h *host) startTask(spec taskSpec, work taskWork) moref {
	n := atomic.AddInt64(&h.tasks.counter, 1)
	t := &task{host: h}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	id := fmt.Sprintf("task-%d", n)
	if h.isESX() {
		id = fmt.Sprintf("haTask-%s-vim.%s-%d", spec.entity.Value, spec.description, 100000000+n)
	}
	t.Self = moref{Type: "Task", Value: id}
	name := spec.method
	t.Info = types.TaskInfo{Key: id, Task: t.Self, Name: name, DescriptionId: spec.description, Entity: &spec.entity,
		EntityName: spec.entityName, State: types.TaskInfoStateQueued, Cancelable: spec.cancelable,
		Reason: &types.TaskReasonUser{UserName: spec.user}, QueueTime: time.Now()}
	h.tasks.mu.Lock()
	h.tasks.running[t.Self] = t
	h.tasks.mu.Unlock()
	h.store.mu.Lock()
	h.store.put(t)
	h.store.mu.Unlock()
	go t.run(spec, work)
	return t.Self
}

func (t *task) run(spec taskSpec, work taskWork) {
	t.set(func() {
		now := time.Now()
		t.Info.State, t.Info.StartTime = types.TaskInfoStateRunning, &now
	})
	result, f := t.faultFirst(spec.method)
	if f == nil {
		result, f = t.guarded(work)
	}
	if spec.ended != nil {
		spec.ended()
	}
	t.set(func() {
		now := time.Now()
		t.Info.CompleteTime, t.Info.Cancelable = &now, false
		if f != nil {
			t.Info.State, t.Info.Error = types.TaskInfoStateError, f.localized()
			_, t.Info.Cancelled = f.detail.(*types.RequestCanceled)
			return
		}
		t.Info.State, t.Info.Result, t.Info.Progress = types.TaskInfoStateSuccess, result, 100
	})
	t.host.tasks.mu.Lock()
	delete(t.host.tasks.running, t.Self)
	t.host.tasks.mu.Unlock()
	time.AfterFunc(taskRetention, func() {
		t.host.store.mu.Lock()
		defer t.host.store.mu.Unlock()
		t.host.store.remove(t.Self)
	})
}

// faultFirst lets a fault rule for tasks spend its delay with visible progress, then fail or go on.
func (t *task) faultFirst(method string) (interface{}, *soapFault) {
	rule := t.host.rules.take(method, true)
	if rule == nil {
		return nil, nil
	}
	for i := 1; i <= 10 && rule.Delay > 0; i++ {
		select {
		case <-time.After(time.Duration(rule.Delay / 10 * float64(time.Second))):
			t.progress(i * 9)
		case <-t.ctx.Done():
			return nil, fault(&types.RequestCanceled{})
		}
	}
	if rule.Fault == "delay" {
		return nil, nil
	}
	detail, err := newFault(rule.Fault)
	if err != nil {
		return nil, faultf(&types.SystemError{Reason: err.Error()}, "%v", err)
	}
	return nil, fault(detail)
}

func (t *task) guarded(work taskWork) (result interface{}, f *soapFault) {
	defer func() {
		if problem := recover(); problem != nil {
			t.host.logf("panic in task %s: %v", t.Info.Name, problem)
			f = faultf(&types.SystemError{Reason: fmt.Sprint(problem)}, "A general system error occurred: %v", problem)
		}
	}()
	return work(t)
}

func (t *task) set(f func()) { t.host.store.update(t.Self, f) }

func (t *task) progress(percent int) {
	t.set(func() { t.Info.Progress = int32(percent) })
}

func (h *host) cancelTask(c *call) (interface{}, *soapFault) {
	h.tasks.mu.Lock()
	t := h.tasks.running[c.this]
	h.tasks.mu.Unlock()
	if t == nil {
		return nil, fault(&types.InvalidState{})
	}
	h.store.mu.RLock()
	cancelable := t.Info.Cancelable
	h.store.mu.RUnlock()
	if !cancelable {
		return nil, fault(&types.NotSupported{})
	}
	t.cancel()
	return nil, nil
}
