package ldvprocessor

import (
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const transaction = "0197c0de-7abc-7def-8123-0123456789ab"

// In each way in which a header is captured it comes on the record of the span that served the call.
func TestATransactionOfFSC(t *testing.T) {
	for header := range transactionHeaders {
		for name, put := range map[string]func(pcommon.Value){
			"text":       func(v pcommon.Value) { v.SetStr(transaction) },
			"list":       func(v pcommon.Value) { v.SetEmptySlice().AppendEmpty().SetStr(transaction) },
			"capitals":   func(v pcommon.Value) { v.SetStr(" " + strings.ToUpper(transaction)) },
			"no dashes":  func(v pcommon.Value) { v.SetStr(strings.ReplaceAll(transaction, "-", "")) },
			"many times": func(v pcommon.Value) { v.SetEmptySlice().FromRaw([]any{transaction, "other"}) },
		} {
			td := ptrace.NewTraces()
			put(newActie(td).Attributes().PutEmpty(header))
			made := spansOf(run(t, testConfig(), td))[0]
			if text(t, made, transactionName) != transaction || text(t, made, header) != "(none)" ||
				text(t, made, flagsName) != "(none)" {
				t.Errorf("%s, %s: %s", header, name, written(t, td))
			}
		}
	}
}

// Only the outermost Actie of a call has it, below any technical spans, as the SDK does it.
func TestATransactionOfTheSpanAbove(t *testing.T) {
	for _, policy := range []string{"keep", "drop"} {
		td := ptrace.NewTraces()
		server := newSpan(td)
		server.Attributes().PutStr("http.request.header.fsc-transaction-id", transaction)
		parent := server.SpanID()
		add := func(id byte, below pcommon.SpanID, actie bool) ptrace.Span {
			span := newSpan(td)
			span.SetSpanID([8]byte{id})
			span.SetParentSpanID(below)
			if actie {
				span.Attributes().PutStr(activityName, activity)
			}
			return span
		}
		outer := add(4, add(3, parent, false).SpanID(), true)
		add(5, outer.SpanID(), true)
		add(6, [8]byte{99}, true)
		config := testConfig()
		config.TechnicalSpans = policy
		for _, made := range spansOf(run(t, config, td)) {
			expected := "(none)"
			if made.SpanID() == [8]byte{4} {
				expected = transaction
			}
			if text(t, made, transactionName) != expected {
				t.Errorf("%s: %s has %s", policy, made.SpanID(), text(t, made, transactionName))
			}
		}
	}
}

// Spans that are their own parents, or each other's, end the search.
func TestATransactionInACircle(t *testing.T) {
	td := ptrace.NewTraces()
	one := newSpan(td)
	one.SetParentSpanID([8]byte{3})
	two := newSpan(td)
	two.SetSpanID([8]byte{3})
	two.SetParentSpanID(one.SpanID())
	three := newActie(td)
	three.SetSpanID([8]byte{4})
	three.SetParentSpanID([8]byte{3})
	if made := spansOf(run(t, testConfig(), td)); text(t, made[2], transactionName) != "(none)" {
		t.Error(written(t, td))
	}
}

// What the application wrote stays, and what is no id is kept apart, cut, flagged, and without a known identifier.
func TestATransactionThatIsNone(t *testing.T) {
	td := ptrace.NewTraces()
	given := newActie(td)
	given.Attributes().PutStr(transactionName, "own")
	given.Attributes().PutStr("http.request.header.fsc-transaction-id", transaction)
	if made := spansOf(run(t, testConfig(), td))[0]; text(t, made, transactionName) != "own" {
		t.Error(text(t, made, transactionName))
	}
	td = ptrace.NewTraces()
	odd := newActie(td)
	odd.Attributes().PutStr(subjectName, testBSN)
	odd.Attributes().PutStr("http.request.header.fsc-transaction-id", "zaak "+testBSN+" "+strings.Repeat("é", 900))
	made := spansOf(run(t, testConfig(), td))[0]
	if text(t, made, transactionName) != "(none)" || !strings.Contains(text(t, made, flagsName), flagForeignID) ||
		!strings.HasPrefix(text(t, made, originalTransactionName), "zaak ") || len([]rune(text(t, made, originalTransactionName))) > 80 {
		t.Error(written(t, td))
	}
	assertClean(t, spansAlone(made))
}

func spansAlone(span ptrace.Span) ptrace.Traces {
	td := ptrace.NewTraces()
	span.CopyTo(newSpan(td))
	return td
}
