package main

// Power: from the API's states to a real guest and back.

import (
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
	suspended  = types.VirtualMachinePowerStateSuspended
)

func (h *host) powerOnVM(c *call) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	if vm.Config.Template {
		return nil, fault(&types.NotSupported{})
	}
	ref, f := vm.task(c, "powerOn", false, func(*task) (interface{}, *soapFault) { return nil, h.powerOn(vm) })
	return ref, f
}

func (h *host) powerOffVM(c *call) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	ref, f := vm.task(c, "powerOff", false, func(*task) (interface{}, *soapFault) { return nil, h.powerOff(vm) })
	return ref, f
}

func (h *host) resetVM(c *call) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	ref, f := vm.task(c, "reset", false, func(*task) (interface{}, *soapFault) {
		if state := h.powerState(vm); state != poweredOn {
			return nil, wrongState(poweredOn, state)
		}
		h.guests.stop(vm)
		return nil, h.boot(vm)
	})
	return ref, f
}

func (h *host) suspendVM(c *call) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	ref, f := vm.task(c, "suspend", false, func(*task) (interface{}, *soapFault) {
		if state := h.powerState(vm); state != poweredOn {
			return nil, wrongState(poweredOn, state)
		}
		h.guests.freeze(vm, true)
		h.store.update(vm.Self, func() {
			vm.Runtime.PowerState = suspended
			vm.toolsGone()
			vm.syncSummary()
		})
		return nil, nil
	})
	return ref, f
}

func (h *host) powerState(vm *machine) types.VirtualMachinePowerState {
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	return vm.Runtime.PowerState
}

// powerOn starts a machine; a suspended one goes on where it was.
func (h *host) powerOn(vm *machine) *soapFault {
	switch h.powerState(vm) {
	case poweredOn:
		return wrongState(poweredOn, poweredOn)
	case suspended:
		h.guests.freeze(vm, false)
		h.store.update(vm.Self, func() {
			vm.Runtime.PowerState = poweredOn
			vm.syncSummary()
		})
		return nil
	}
	if f := h.askQuestion(vm); f != nil {
		return f
	}
	return h.boot(vm)
}

func (h *host) boot(vm *machine) *soapFault {
	if f := h.guests.start(vm); f != nil {
		h.markOff(vm)
		return f
	}
	h.store.update(vm.Self, func() {
		now := time.Now()
		vm.Runtime.PowerState, vm.Runtime.BootTime = poweredOn, &now
		vm.Runtime.CleanPowerOff = nil
		for _, card := range vm.cards() {
			card.Connectable.Connected = card.Connectable.StartConnected
		}
		vm.syncSummary()
	})
	return nil
}

func (h *host) powerOff(vm *machine) *soapFault {
	if state := h.powerState(vm); state == poweredOff {
		return wrongState(poweredOff, poweredOff)
	}
	h.guests.stop(vm)
	h.markOff(vm)
	return nil
}

// markOff is the state of a machine whose guest is gone.
func (h *host) markOff(vm *machine) {
	h.store.update(vm.Self, func() {
		vm.Runtime.PowerState, vm.Runtime.BootTime = poweredOff, nil
		for _, card := range vm.cards() {
			if card.Connectable != nil {
				card.Connectable.Connected = false
			}
		}
		vm.guestStopped()
		vm.syncSummary()
	})
}

// guestSignal is ShutdownGuest and RebootGuest: needs running Tools, returns at once, the guest acts later.
func (h *host) guestSignal(c *call, reboot bool) (interface{}, *soapFault) {
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	h.store.mu.RLock()
	state, running := vm.Runtime.PowerState, vm.toolsRunning()
	h.store.mu.RUnlock()
	if state != poweredOn {
		return nil, wrongState(poweredOn, state)
	}
	if !running {
		return nil, fault(&types.ToolsUnavailable{})
	}
	h.guests.signal(vm, reboot)
	return nil, nil
}

// askQuestion blocks the power-on of a copied machine until AnswerVM, when that switch is on.
func (h *host) askQuestion(vm *machine) *soapFault {
	h.store.mu.RLock()
	action := vm.extra("uuid.action") + vm.extra("answer.msg.uuid.altered")
	asked := vm.asked
	h.store.mu.RUnlock()
	if h.settings.get("question") != "on" || asked || action != "" {
		return nil
	}
	choice := func(key, label string) types.BaseElementDescription {
		return &types.ElementDescription{Description: types.Description{Label: label, Summary: label}, Key: key}
	}
	text := "This virtual machine might have been moved or copied. In order to configure certain management and networking features, " +
		"VMware ESX needs to know if this virtual machine was moved or copied. If you don't know, answer \"I copied it\"."
	h.store.update(vm.Self, func() {
		vm.Runtime.Question = &types.VirtualMachineQuestionInfo{Id: randomHex(4), Text: "msg.uuid.altered:" + text,
			Choice: types.ChoiceOption{ChoiceInfo: []types.BaseElementDescription{choice("0", "button.uuid.cancel"),
				choice("1", "button.uuid.movedTheVM"), choice("2", "button.uuid.copiedTheVM")}, DefaultIndex: 2},
			Message: []types.VirtualMachineMessage{{Id: "msg.uuid.altered", Text: text}}}
	})
	for {
		change := h.store.nextChange()
		h.store.mu.RLock()
		open, cancelled := vm.Runtime.Question != nil, !vm.asked
		h.store.mu.RUnlock()
		if !open && cancelled {
			return fault(&types.RequestCanceled{})
		}
		if !open {
			return nil
		}
		<-change
	}
}

func (h *host) answerVM(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.AnswerVM)
	vm, f := h.target(c)
	if f != nil {
		return nil, f
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	question := vm.Runtime.Question
	if question == nil || question.Id != req.QuestionId {
		return nil, badArgument("questionId")
	}
	if req.AnswerChoice != "0" && req.AnswerChoice != "1" && req.AnswerChoice != "2" {
		return nil, badArgument("answerChoice")
	}
	if req.AnswerChoice == "2" {
		vm.Config.Uuid = newUUID()
	}
	vm.asked = req.AnswerChoice != "0"
	vm.Runtime.Question = nil
	vm.syncSummary()
	h.store.touch(vm.Self)
	return nil, nil
}
