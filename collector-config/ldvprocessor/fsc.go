package ldvprocessor

import (
	"regexp"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The transaction id that the transport of FSC gave an inbound call (LDV-N16). Services that do not run ldv_otel hand it
// on as OpenTelemetry captures headers: as an attribute of the span that served the call.

const (
	transactionName         = "dpl.fsc.transaction_id"
	originalTransactionName = "ldv.original.fsc_transaction_id"
	// Technical spans between the span of a call and its Actie; more are a made-up request.
	maxAncestors = 64
	// More is no id, and is not kept.
	maxTransaction = 64
)

// As the semantic conventions name a captured header, of HTTP and of gRPC; some write underscores for dashes.
var transactionHeaders = map[string]bool{
	"http.request.header.fsc-transaction-id":       true,
	"http.request.header.fsc_transaction_id":       true,
	"rpc.grpc.request.metadata.fsc-transaction-id": true,
	"rpc.grpc.request.metadata.fsc_transaction_id": true,
	"rpc.request.metadata.fsc-transaction-id":      true,
	"rpc.request.metadata.fsc_transaction_id":      true,
}

var uuidForm = regexp.MustCompile(
	`\A([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\z`)

type spanPlace struct {
	trace pcommon.TraceID
	id    pcommon.SpanID
}

// spanAbove is what an Actie asks of the spans above it in the same request.
type spanAbove struct {
	parent      pcommon.SpanID
	actie       bool
	transaction string
}

// transactionIn returns the transaction id that is captured in a span's attributes; empty without one.
func transactionIn(attributes []pair) string {
	for _, one := range attributes {
		if !transactionHeaders[strings.ToLower(one.name)] {
			continue
		}
		value := one.value
		if value.Type() == pcommon.ValueTypeSlice && value.Slice().Len() > 0 {
			value = value.Slice().At(0)
		}
		if text := strings.TrimSpace(asText(value)); text != "" {
			return firstCharacters(text, maxTransaction)
		}
	}
	return ""
}

func firstCharacters(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}

// transactionOf returns the transaction id of the call in which an Actie is the outermost; empty for others.
func (r *request) transactionOf(span ptrace.Span, found *facts) string {
	if found.transaction != "" || len(r.above) == 0 {
		return found.transaction
	}
	place := spanPlace{span.TraceID(), span.ParentSpanID()}
	for range maxAncestors {
		one, ok := r.above[place]
		if !ok || one.actie {
			return ""
		}
		if one.transaction != "" {
			return one.transaction
		}
		place.id = one.parent
	}
	return ""
}

// transaction puts it on the record, unless the application did; another text than an id is flagged.
func (r *request) transaction(span ptrace.Span, found *facts, clean *cleaner) {
	text := r.transactionOf(span, found)
	if text == "" {
		return
	}
	attributes := span.Attributes()
	if form := uuidForm.FindStringSubmatch(strings.ToLower(text)); form != nil {
		if _, given := attributes.Get(transactionName); !given {
			attributes.PutStr(transactionName, strings.Join(form[1:], "-"))
		}
		return
	}
	clean.flag(flagForeignID)
	attributes.PutStr(originalTransactionName, clean.label(text, originalTransactionName))
}
