package tenantrouter

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pipeline"
)

var signal = pipeline.SignalTraces

func named(name string) pipeline.ID { return pipeline.NewIDWithName(signal, name) }

func configOf(tenants ...string) *Config {
	config := &Config{Attribute: "ldv.tenant", Quarantine: []pipeline.ID{named("quarantine")}}
	for _, id := range tenants {
		config.Tenants = append(config.Tenants, Tenant{ID: id, Pipelines: []pipeline.ID{named(id)}})
	}
	return config
}

func newRouted(t *testing.T, sinks map[pipeline.ID]consumer.Traces, tenants ...string) connector.Traces {
	t.Helper()
	config := configOf(tenants...)
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	made, err := newRouter(context.Background(), connector.Settings{}, config, connector.NewTracesRouter(sinks))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func sinksOf(tenants ...string) (map[pipeline.ID]consumer.Traces, map[string]*consumertest.TracesSink) {
	sinks, byName := map[pipeline.ID]consumer.Traces{}, map[string]*consumertest.TracesSink{}
	for _, name := range append(tenants, "quarantine") {
		byName[name] = &consumertest.TracesSink{}
		sinks[named(name)] = byName[name]
	}
	return sinks, byName
}

func traceID(number byte) pcommon.TraceID { return pcommon.TraceID{15: number} }

// Each span is passed on once, to whom it says, or its resource, or else its trace; whatever else is said, to nobody.
func TestEachSpanGoesToItsTenantAlone(t *testing.T) {
	chance := rand.New(rand.NewPCG(2026, 1129))
	tenants := []string{"0344", "0363", "x-9"}
	words := append([]string{"", "0345", "0363 ", "quarantine", "X-9"}, tenants...)
	for range 500 {
		sinks, byName := sinksOf(tenants...)
		routed := newRouted(t, sinks, tenants...)
		td := ptrace.NewTraces()
		expected, own := map[string]string{}, map[string]string{}
		ofTraces := map[byte]map[string]bool{}
		traces := map[string]byte{}
		for range 1 + chance.IntN(4) {
			rs := td.ResourceSpans().AppendEmpty()
			ofResource := ""
			if chance.IntN(2) == 0 {
				ofResource = words[chance.IntN(len(words))]
				rs.Resource().Attributes().PutStr("ldv.tenant", ofResource)
			}
			rs.Resource().Attributes().PutStr("service.name", "dienst")
			for range 1 + chance.IntN(2) {
				ss := rs.ScopeSpans().AppendEmpty()
				for range 1 + chance.IntN(3) {
					name := strconv.Itoa(len(expected))
					span := ss.Spans().AppendEmpty()
					span.SetName(name)
					number := byte(1 + chance.IntN(3))
					span.SetTraceID(traceID(number))
					traces[name] = number
					says := ofResource
					if chance.IntN(2) == 0 {
						says = words[chance.IntN(len(words))]
						span.Attributes().PutStr("ldv.tenant", says)
						own[name] = "itself"
					} else if ofResource != "" {
						own[name] = "resource"
					}
					expected[name] = says
					if own[name] != "" {
						if ofTraces[number] == nil {
							ofTraces[number] = map[string]bool{}
						}
						ofTraces[number][says] = true
					}
				}
			}
		}
		if err := routed.ConsumeTraces(context.Background(), td); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for tenant, sink := range byName {
			for _, passed := range sink.AllTraces() {
				for _, rs := range passed.ResourceSpans().All() {
					if _, ok := rs.Resource().Attributes().Get("ldv.tenant"); ok {
						t.Error("the attribute stays in the resource")
					}
					if rs.Resource().Attributes().Len() != 1 {
						t.Error("the resource is not as it was")
					}
					for _, ss := range rs.ScopeSpans().All() {
						for _, span := range ss.Spans().All() {
							if _, twice := got[span.Name()]; twice {
								t.Errorf("%s is passed on twice", span.Name())
							}
							got[span.Name()] = tenant
							if _, ok := span.Attributes().Get("ldv.tenant"); ok {
								t.Error("the attribute stays in the span")
							}
						}
					}
				}
			}
		}
		for name, says := range expected {
			if own[name] == "" && len(ofTraces[traces[name]]) == 1 {
				for word := range ofTraces[traces[name]] {
					says = word
				}
			}
			if _, ok := byName[says]; !ok || says == "" {
				says = "quarantine"
			}
			if got[name] != says {
				t.Errorf("span %s went to %q and not to %q", name, got[name], says)
			}
		}
	}
}

// An attribute that is no text, or comes twice and differs, names nobody; one that comes twice alike names one.
func TestWhatCannotBeFollowedIsNobodys(t *testing.T) {
	cases := map[string]func(pcommon.Map){
		"a number":   func(m pcommon.Map) { m.PutInt("ldv.tenant", 363) },
		"a list":     func(m pcommon.Map) { m.PutEmptySlice("ldv.tenant").AppendEmpty().SetStr("0363") },
		"empty":      func(m pcommon.Map) { m.PutStr("ldv.tenant", "") },
		"lower":      func(m pcommon.Map) { m.PutStr("LDV.tenant", "0363") },
		"an unknown": func(m pcommon.Map) { m.PutStr("ldv.tenant", "0399") },
	}
	for name, put := range cases {
		sinks, byName := sinksOf("0363")
		td := ptrace.NewTraces()
		put(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().Attributes())
		if err := newRouted(t, sinks, "0363").ConsumeTraces(context.Background(), td); err != nil {
			t.Fatal(err)
		}
		if byName["quarantine"].SpanCount() != 1 || byName["0363"].SpanCount() != 0 {
			t.Errorf("%s is taken for a tenant", name)
		}
	}
}

// A tenant whose Logboek is away holds up no other, and its sender is told to come back, whatever else failed.
func TestOneThatIsAwayHoldsUpNoOther(t *testing.T) {
	sinks, byName := sinksOf("0344", "0363", "0399")
	sinks[named("0344")] = consumertest.NewErr(errors.New("away"))
	sinks[named("0399")] = consumertest.NewErr(consumererror.NewPermanent(errors.New("never")))
	td := ptrace.NewTraces()
	for _, id := range []string{"0344", "0363", "0399"} {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("ldv.tenant", id)
		rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	}
	err := newRouted(t, sinks, "0344", "0363", "0399").ConsumeTraces(context.Background(), td)
	if err == nil || consumererror.IsPermanent(err) || !strings.Contains(err.Error(), "away") {
		t.Errorf("it is %v", err)
	}
	if byName["0363"].SpanCount() != 1 {
		t.Error("the other tenant got nothing")
	}
}

// What would mix two tenants, or lose what is nobody's, is refused at the start.
func TestAConfigurationThatWouldMixTenantsIsRefused(t *testing.T) {
	twice, mixed, lost, odd := configOf("0363", "0363"), configOf("0344", "0363"), configOf("0363"), configOf("../0363")
	mixed.Tenants[1].Pipelines = mixed.Tenants[0].Pipelines
	lost.Quarantine = nil
	quarantined := configOf("0363")
	quarantined.Tenants[0].Pipelines = quarantined.Quarantine
	for _, config := range []*Config{twice, mixed, lost, odd, quarantined, configOf(), {}} {
		if config.Validate() == nil {
			t.Errorf("%v is taken", config)
		}
	}
	sinks, _ := sinksOf("0344", "0363")
	if _, err := newRouter(context.Background(), connector.Settings{}, configOf("0363"), connector.NewTracesRouter(sinks)); err == nil {
		t.Error("a pipeline that would get nothing is taken")
	}
}
