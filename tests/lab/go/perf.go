package main

// Performance: what the guests really use, as quickStats and as samples of 20 seconds.

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	sampleEvery = 20 * time.Second
	sampleKeep  = 180
	hostMHz     = 2400
)

type usageSample struct {
	at     time.Time
	cpu    float64 // share of one core
	memory int64   // bytes
}

// usageHistory is guarded by its guest's mu.
type usageHistory struct {
	lastCPU time.Duration
	lastAt  time.Time
	samples []usageSample
}

// watchGuests measures every guest until the host dies.
func (h *host) watchGuests() {
	for tick := 0; ; tick++ {
		time.Sleep(5 * time.Second)
		for _, r := range h.guests.list() {
			h.measure(r, tick%4 == 3)
		}
		h.measureHost()
	}
}

// measureHost adds up what the machines use.
func (h *host) measureHost() {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	hs := getObject(fixed.host).(*simulator.HostSystem)
	var cpu, memory int32 = 120, 2048
	for _, vm := range h.vms.all() {
		cpu += vm.Summary.QuickStats.OverallCpuUsage
		memory += vm.Summary.QuickStats.HostMemoryUsage
	}
	stats := &hs.Summary.QuickStats
	if stats.OverallCpuUsage != cpu || stats.OverallMemoryUsage != memory {
		stats.OverallCpuUsage, stats.OverallMemoryUsage = cpu, memory
		h.store.touch(fixed.host)
	}
}

func (h *host) measure(r *guest, sample bool) {
	cpu, memory, now := r.cpuTime(), r.memory(), time.Now()
	r.mu.Lock()
	u := &r.usage
	share := 0.0
	if elapsed := now.Sub(u.lastAt); !u.lastAt.IsZero() && elapsed > 0 {
		share = float64(cpu-u.lastCPU) / float64(elapsed)
	}
	u.lastCPU, u.lastAt = cpu, now
	if sample || len(u.samples) == 0 {
		u.samples = append(u.samples, usageSample{now, share, memory})
		if len(u.samples) > sampleKeep {
			u.samples = u.samples[1:]
		}
	}
	r.mu.Unlock()
	vm := r.vm
	h.store.mu.RLock()
	old := vm.Summary.QuickStats
	h.store.mu.RUnlock()
	fresh := old
	fresh.OverallCpuUsage = int32(share * hostMHz)
	fresh.OverallCpuDemand = fresh.OverallCpuUsage
	fresh.GuestMemoryUsage = int32(memory >> 20)
	fresh.HostMemoryUsage = int32(memory>>20) + 20
	fresh.UptimeSeconds = int32(now.Sub(r.booted) / time.Second)
	if fresh.OverallCpuUsage == old.OverallCpuUsage && fresh.GuestMemoryUsage == old.GuestMemoryUsage && !sample {
		return
	}
	h.store.update(vm.Self, func() {
		if vm.Runtime.PowerState == poweredOn {
			fresh.GuestHeartbeatStatus = vm.GuestHeartbeatStatus
			vm.Summary.QuickStats = fresh
		}
	})
}

func (h *host) counters() []types.PerfCounterInfo {
	return getObject(*h.content().PerfManager).(*simulator.PerformanceManager).PerfCounter
}

func counterName(info types.PerfCounterInfo) string {
	return info.GroupInfo.GetElementDescription().Key + "." + info.NameInfo.GetElementDescription().Key + "." + string(info.RollupType)
}

// The counters that have real values, with how one sample becomes a number.
var measured = map[string]func(s usageSample, vm *machine) int64{
	"cpu.usage.average": func(s usageSample, vm *machine) int64 {
		return int64(s.cpu / float64(vm.Config.Hardware.NumCPU) * 10000)
	},
	"cpu.usagemhz.average": func(s usageSample, vm *machine) int64 { return int64(s.cpu * hostMHz) },
	"mem.usage.average": func(s usageSample, vm *machine) int64 {
		return s.memory * 10000 / (int64(vm.Config.Hardware.MemoryMB)<<20 + 1)
	},
	"mem.consumed.average": func(s usageSample, vm *machine) int64 { return s.memory >> 10 },
	"mem.active.average":   func(s usageSample, vm *machine) int64 { return s.memory >> 10 },
}

func (h *host) queryPerf(c *call) (interface{}, *soapFault) {
	req := c.body.(*types.QueryPerf)
	names := map[int32]string{}
	for _, info := range h.counters() {
		names[info.Key] = counterName(info)
	}
	h.store.mu.RLock()
	defer h.store.mu.RUnlock()
	list := []types.BasePerfEntityMetricBase{}
	for _, spec := range req.QuerySpec {
		if getObject(spec.Entity) == nil {
			return nil, notFound(spec.Entity)
		}
		for _, id := range spec.MetricId {
			if _, ok := names[id.CounterId]; !ok {
				return nil, badArgument("querySpec.metricId")
			}
		}
		if spec.IntervalId != 0 && spec.IntervalId != 20 && spec.IntervalId != 300 {
			return nil, badArgument("querySpec.interval")
		}
		if vm, ok := getObject(spec.Entity).(*machine); ok {
			if metric := h.machineMetric(vm, spec, names); metric != nil {
				list = append(list, metric)
			}
		}
	}
	return list, nil
}

// machineMetric is nil for a machine that is off: it has no samples.
func (h *host) machineMetric(vm *machine, spec types.PerfQuerySpec, names map[int32]string) types.BasePerfEntityMetricBase {
	r := h.guests.of(vm)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	samples := append([]usageSample{}, r.usage.samples...)
	r.mu.Unlock()
	var chosen []usageSample
	for _, s := range samples {
		if (spec.StartTime == nil || s.at.After(*spec.StartTime)) && (spec.EndTime == nil || !s.at.After(*spec.EndTime)) {
			chosen = append(chosen, s)
		}
	}
	if n := int(spec.MaxSample); n > 0 && len(chosen) > n {
		chosen = chosen[len(chosen)-n:]
	}
	ids := spec.MetricId
	if len(ids) == 0 {
		for id, name := range names {
			if measured[name] != nil {
				ids = append(ids, types.PerfMetricId{CounterId: id})
			}
		}
	}
	metric := &types.PerfEntityMetric{PerfEntityMetricBase: types.PerfEntityMetricBase{Entity: vm.Self}}
	for _, s := range chosen {
		metric.SampleInfo = append(metric.SampleInfo, types.PerfSampleInfo{Timestamp: s.at, Interval: 20})
	}
	for _, id := range ids {
		compute := measured[names[id.CounterId]]
		if compute == nil {
			continue
		}
		series := &types.PerfMetricIntSeries{PerfMetricSeries: types.PerfMetricSeries{Id: types.PerfMetricId{CounterId: id.CounterId}}}
		for _, s := range chosen {
			series.Value = append(series.Value, compute(s, vm))
		}
		metric.Value = append(metric.Value, series)
	}
	if spec.Format == string(types.PerfFormatCsv) {
		return metricCSV(metric)
	}
	return metric
}

func metricCSV(metric *types.PerfEntityMetric) types.BasePerfEntityMetricBase {
	csv := &types.PerfEntityMetricCSV{PerfEntityMetricBase: metric.PerfEntityMetricBase}
	var info []string
	for _, s := range metric.SampleInfo {
		info = append(info, fmt.Sprintf("%d,%s", s.Interval, s.Timestamp.UTC().Format("2006-01-02T15:04:05Z")))
	}
	csv.SampleInfoCSV = strings.Join(info, ",")
	for _, value := range metric.Value {
		series := value.(*types.PerfMetricIntSeries)
		csv.Value = append(csv.Value, types.PerfMetricSeriesCSV{PerfMetricSeries: series.PerfMetricSeries,
			Value: strings.Trim(strings.ReplaceAll(fmt.Sprint(series.Value), " ", ","), "[]")})
	}
	return csv
}

func (h *host) queryPerfCounter(c *call) (interface{}, *soapFault) {
	list := []types.PerfCounterInfo{}
	for _, id := range c.body.(*types.QueryPerfCounter).CounterId {
		found := false
		for _, info := range h.counters() {
			if info.Key == id {
				list, found = append(list, info), true
			}
		}
		if !found {
			return nil, badArgument("counterId")
		}
	}
	return list, nil
}

func (h *host) queryPerfProvider(c *call) (interface{}, *soapFault) {
	entity := c.body.(*types.QueryPerfProviderSummary).Entity
	return types.PerfProviderSummary{Entity: entity, CurrentSupported: true, SummarySupported: true, RefreshRate: 20}, nil
}

func (h *host) queryAvailablePerf(c *call) (interface{}, *soapFault) {
	list := []types.PerfMetricId{}
	for _, info := range h.counters() {
		if measured[counterName(info)] != nil {
			list = append(list, types.PerfMetricId{CounterId: info.Key})
		}
	}
	return list, nil
}
