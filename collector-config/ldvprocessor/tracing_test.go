package ldvprocessor

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

func tracingConfig() *Config {
	return &Config{Output: forTracing, RegisterCheck: "off", StrayBSN: "redact", TechnicalSpans: "keep"}
}

// The tracing backend gets a span without its data subject, in whatever form it is told and quoted.
func TestTheTracingBackendLearnsNobody(t *testing.T) {
	for form, set := range subjectValues() {
		for _, quote := range quoted {
			td := ptrace.NewTraces()
			span := newActie(td)
			set(span.Attributes().PutEmpty(subjectName))
			span.Attributes().PutStr(typeName, "BSN")
			putQuotes(span, td.ResourceSpans().At(0).Resource(), quote)
			span.Attributes().PutStr("url.full", "https://x.example/"+quote)
			span.Attributes().PutStr("http.target", "/"+quote)
			span.Attributes().PutStr("eigen", "nummer "+quote)
			span.Attributes().PutStr("exception.message", quote)
			scope := td.ResourceSpans().At(0).ScopeSpans().At(0).Scope()
			scope.SetName("scope " + quote)
			scope.SetVersion(quote)
			scope.Attributes().PutStr("x", quote)
			below := newSpan(td)
			below.SetName("zoek " + quote)
			out := run(t, tracingConfig(), td)
			assertClean(t, out)
			all := written(t, out)
			for _, gone := range []string{"data_subject", "ldv.", "url.full", "http.target", "exception.message", "command_line"} {
				if strings.Contains(all, gone) {
					t.Errorf("%s %q: %s is still there: %s", form, quote, gone, all)
				}
			}
			for _, kept := range []string{activity, "dpl.core.zaak", "eigen", "exception.type"} {
				if !strings.Contains(all, kept) {
					t.Errorf("%s %q: %s is not there: %s", form, quote, kept, all)
				}
			}
		}
	}
}

// A key that comes twice names two people here as well.
func TestTwoPeopleOfOneKeyInTheTracingBackend(t *testing.T) {
	td := ptrace.NewTraces()
	newActie(td).SetName("Van A.Jansen en B.Jansen")
	out := run(t, tracingConfig(), wireTwice(t, td, subjectName, "A.Jansen", "B.Jansen"))
	if all := written(t, out); strings.Contains(all, "Jansen") {
		t.Errorf("it is %s", all)
	}
}

// A request is named by its route; what a framework took from its address goes, also where nobody is known.
func TestNamesOfRequests(t *testing.T) {
	for _, one := range []struct {
		name       string
		attributes map[string]string
		wanted     string
	}{
		{"GET /burger/{bsn}", map[string]string{"http.request.method": "GET", "http.route": "/burger/{bsn}"}, "GET /burger/{bsn}"},
		{"/burger/{bsn}", map[string]string{"http.route": "/burger/{bsn}"}, "/burger/{bsn}"},
		{"GET /burger/jansen", map[string]string{"http.request.method": "GET", "http.route": "/burger/{naam}"}, "GET /burger/{naam}"},
		{"GET /burger/jansen", map[string]string{"http.request.method": "GET"}, "GET"},
		{"GET /burger/jansen", nil, "GET"},
		{"GET burger/jansen", map[string]string{"url.path": "/burger/jansen"}, "GET"},
		{"/burger/jansen", nil, "Server"},
		{"https://x.example/burger", nil, "Server"},
		{"zoek?naam=jansen", nil, "Server"},
		{"GET", map[string]string{"http.request.method": "GET"}, "GET"},
		{"HTTP GET", map[string]string{"http.method": "GET"}, "HTTP GET"},
		{"Wijzig kenteken", nil, "Wijzig kenteken"},
		{"rdw.Kentekens/Zoek", nil, "rdw.Kentekens/Zoek"},
		{"SELECT parkeren.vergunning", nil, "SELECT parkeren.vergunning"},
	} {
		td := ptrace.NewTraces()
		span := newSpan(td)
		span.SetKind(ptrace.SpanKindServer)
		span.SetName(one.name)
		for name, value := range one.attributes {
			span.Attributes().PutStr(name, value)
		}
		if found := spansOf(run(t, tracingConfig(), td))[0].Name(); found != one.wanted {
			t.Errorf("%q with %v is named %q, not %q", one.name, one.attributes, found, one.wanted)
		}
	}
}

// What may hold anything about anybody is left out, unless a setting names it; and then it is cleaned.
func TestWhatIsLeftOutCanBeKept(t *testing.T) {
	for _, keep := range []string{"", "url.full, status.message,exception.message,name,db.query.text"} {
		td := ptrace.NewTraces()
		span := newSpan(td)
		span.SetName("/burger/jansen/" + testBSN)
		span.Status().SetMessage("geen jansen " + testBSN)
		span.Attributes().PutStr("url.full", "https://x.example/jansen/"+testBSN)
		span.Attributes().PutStr("db.query.text", "jansen")
		span.Events().AppendEmpty().Attributes().PutStr("exception.message", "geen jansen")
		config := tracingConfig()
		config.Keep = keep
		all := written(t, run(t, config, td))
		wanted := 0
		if keep != "" {
			wanted = 5
		}
		if strings.Count(all, "jansen") != wanted || strings.Contains(all, testBSN) {
			t.Errorf("with %q kept it is %s", keep, all)
		}
	}
}

// What describes the work stays as it is.
func TestAnOrdinarySpan(t *testing.T) {
	td := ptrace.NewTraces()
	span := newSpan(td)
	span.SetName("GET /vergunningen")
	span.TraceState().FromRaw("ot=th:8")
	wanted := map[string]any{
		"http.route": "/vergunningen", "http.request.method": "GET", "http.response.status_code": int64(200), "x": true,
		"url.scheme": "https", "server.address": "x.example", "lijst": []any{int64(1), "a"},
	}
	if err := span.Attributes().FromRaw(wanted); err != nil {
		t.Fatal(err)
	}
	link := span.Links().AppendEmpty()
	link.SetTraceID([16]byte{7})
	link.Attributes().PutStr("naam", "jansen")
	td.ResourceSpans().At(0).Resource().Attributes().PutStr("service.name", "parkeren")
	out := run(t, tracingConfig(), td)
	made := spansOf(out)[0]
	found := made.Attributes().AsRaw()
	for name, value := range wanted {
		if name != "lijst" && found[name] != value {
			t.Errorf("%s is %v", name, found[name])
		}
	}
	all := written(t, out)
	if len(found) != len(wanted) || made.TraceState().AsRaw() != "ot=th:8" || made.Name() != "GET /vergunningen" ||
		made.Links().Len() != 1 || strings.Contains(all, "jansen") || !strings.Contains(all, "parkeren") {
		t.Errorf("it is %s", all)
	}
}

// A span of which nobody is known is searched for BSNs all the same, whatever the Logboek does with them.
func TestAStrayBSNInTheTracingBackend(t *testing.T) {
	td := ptrace.NewTraces()
	span := newSpan(td)
	span.SetName("zoek 123.456.782")
	span.Attributes().PutInt("nummer", 123456782)
	span.TraceState().FromRaw("x=" + testBSN)
	span.Attributes().PutStr("kenmerk", testBSN)
	config := tracingConfig()
	config.StrayBSN, config.StrayBSNExcept = "flag", "kenmerk"
	made := spansOf(run(t, config, td))[0]
	if made.Name() != "zoek "+mask || text(t, made, "nummer") != mask || text(t, made, "kenmerk") != testBSN ||
		made.TraceState().AsRaw() != "" {
		t.Errorf("it is %q, %v", made.Name(), made.Attributes().AsRaw())
	}
}

// A panic would end the Collector: it is an error, which says nothing of the spans.
func TestAPanicIsAnError(t *testing.T) {
	broken := &tracing{}
	_, err := broken.process(context.Background(), ptrace.Traces{})
	if err == nil || !strings.Contains(err.Error(), "went nowhere") {
		t.Errorf("the error is %v", err)
	}
}
