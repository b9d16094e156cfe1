package ldvprocessor

import (
	"context"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Attributes that hold what somebody typed or a request carried, and so anything about anybody: of these a tracing
// backend gets none, unless a setting names them.
var (
	droppedNames = map[string]bool{
		"http.url": true, "http.target": true, "http.referer": true, "http.user_agent": true, "http.client_ip": true,
		"user_agent.original": true, "client.address": true, "net.peer.ip": true, "net.sock.peer.addr": true,
		"db.statement": true, "db.query.text": true, "db.user": true, "exception.message": true,
		"process.command_line": true, "process.command_args": true, "process.command": true, "process.owner": true,
		"graphql.document": true, "status.message": true,
	}
	droppedPrefixes = []string{
		"url.", "http.request.header.", "http.response.header.", "http.request.body.content",
		"http.response.body.content", "rpc.grpc.request.metadata.", "rpc.grpc.response.metadata.",
		"rpc.request.metadata.", "rpc.response.metadata.", "db.query.parameter.", "db.operation.parameter.",
		"messaging.message.body", "messaging.message.conversation_id", "messaging.kafka.message.key", "enduser.",
		"user.", "session.", "baggage.", "gen_ai.input.", "gen_ai.output.", "gen_ai.system_instructions", "ldv.",
	}
	// Of those what an application or its framework wrote, not who called.
	keptNames = map[string]bool{"url.scheme": true, "url.template": true, "http.request.body.size": true}
	// Names of what a request was for, by which its span may be named.
	routeNames  = []string{"http.route", "url.template"}
	methodNames = []string{"http.request.method", "http.method"}
)

// tracing makes of spans what leaves for a tracing backend: every span, without the data subject.
type tracing struct {
	exempt map[string]bool
	keep   map[string]bool
}

func newTracing(config *Config) *tracing {
	return &tracing{namesIn(config.StrayBSNExcept), namesIn(config.Keep)}
}

func (t *tracing) process(_ context.Context, td ptrace.Traces) (_ ptrace.Traces, err error) {
	defer failed(&err)
	td.ResourceSpans().RemoveIf(isEmpty)
	known := newTraces()
	var own [][]identifier
	var about ptrace.ResourceSpans
	var onResource []identifier
	eachSpan(td, func(one ptrace.ResourceSpans, _ ptrace.ScopeSpans, span ptrace.Span) {
		if one != about {
			about, onResource = one, elsewhere(one.Resource().Attributes())
		}
		attributes := canonical(listed(span.Attributes()))
		named := subjectsOf(attributes)
		restore(span.Attributes(), attributes)
		own = append(own, named)
		known.add(span.TraceID(), named)
		known.add(span.TraceID(), elsewhere(besides(span)...))
		known.add(span.TraceID(), onResource)
	})
	for at := range td.ResourceSpans().Len() {
		t.shared(td.ResourceSpans().At(at), known)
	}
	eachSpan(td, func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, span ptrace.Span) {
		clean := t.cleaner()
		clean.around, clean.own, own = known.searcher(span.TraceID()), newSearcher(own[0], true, &known.budget), own[1:]
		t.span(span, clean)
	})
	return td, nil
}

func (t *tracing) cleaner() *cleaner {
	return &cleaner{stray: true, masks: true, exempt: t.exempt, flags: map[string]bool{}}
}

// shared cleans what the spans of a resource and of its scopes have in common of everybody known in one of them.
func (t *tracing) shared(one ptrace.ResourceSpans, known *traces) {
	of := map[pcommon.TraceID]bool{}
	for scope := range one.ScopeSpans().Len() {
		spans := one.ScopeSpans().At(scope).Spans()
		for number := range spans.Len() {
			of[spans.At(number).TraceID()] = true
		}
	}
	known.cleanShared(one.Resource().Attributes(), of)
	t.attributes(one.Resource().Attributes(), t.cleaner())
	for at := range one.ScopeSpans().Len() {
		scope := one.ScopeSpans().At(at).Scope()
		pcommon.NewMap().MoveTo(scope.Attributes())
		names := pcommon.NewMap()
		names.PutStr("otel.scope.name", scope.Name())
		names.PutStr("otel.scope.version", scope.Version())
		known.cleanShared(names, of)
		t.cleaner().all(names)
		scope.SetName(first(names, []string{"otel.scope.name"}))
		scope.SetVersion(first(names, []string{"otel.scope.version"}))
	}
}

func isEmpty(one ptrace.ResourceSpans) bool {
	one.ScopeSpans().RemoveIf(func(scoped ptrace.ScopeSpans) bool { return scoped.Spans().Len() == 0 })
	return one.ScopeSpans().Len() == 0
}

func eachSpan(td ptrace.Traces, do func(ptrace.ResourceSpans, ptrace.ScopeSpans, ptrace.Span)) {
	for at := range td.ResourceSpans().Len() {
		one := td.ResourceSpans().At(at)
		for scope := range one.ScopeSpans().Len() {
			scoped := one.ScopeSpans().At(scope)
			for number := range scoped.Spans().Len() {
				do(one, scoped, scoped.Spans().At(number))
			}
		}
	}
}

// subjectsOf returns the identifiers in a span's attributes.
func subjectsOf(attributes []pair) []identifier {
	kind := ""
	for _, one := range attributes {
		if one.name == typeName {
			kind = asText(one.value)
		}
	}
	var found []identifier
	for _, one := range attributes {
		if isSubject(one.name) && one.name != typeName {
			found = append(found, identifiersIn(one.value, kind, 0)...)
			values, _ := peopleIn(one.value, kind, 0)
			for _, value := range values {
				found = append(found, identifiersIn(value, kind, 0)...)
			}
		}
	}
	return found
}

func restore(attributes pcommon.Map, all []pair) {
	pcommon.NewMap().MoveTo(attributes)
	// Backwards, so that of several of one name the last has it.
	for place := len(all) - 1; place >= 0; place-- {
		add(attributes, all[place].name, all[place].value)
	}
}

func (t *tracing) span(span ptrace.Span, clean *cleaner) {
	name := t.name(span)
	if name != "" {
		name = clean.text(name, "name")
	}
	span.SetName(name)
	message := ""
	if t.keep["status.message"] {
		message = clean.text(span.Status().Message(), "status.message")
	}
	span.Status().SetMessage(message)
	cleanState(span.TraceState(), clean)
	t.attributes(span.Attributes(), clean)
	for at := range span.Events().Len() {
		event := span.Events().At(at)
		event.SetName(clean.text(event.Name(), "name"))
		t.attributes(event.Attributes(), clean)
	}
	for at := range span.Links().Len() {
		link := span.Links().At(at)
		pcommon.NewMap().MoveTo(link.Attributes())
		cleanState(link.TraceState(), clean)
	}
}

// name returns the name of a span, of a request by its route: what a framework took from the address goes.
func (t *tracing) name(span ptrace.Span) string {
	name, attributes := span.Name(), span.Attributes()
	route, method := first(attributes, routeNames), first(attributes, methodNames)
	verb, path := "", name
	if before, after, found := strings.Cut(name, " "); found && before == strings.ToUpper(before) {
		verb, path = before, after
	}
	isRequest := method != "" || route != ""
	for _, other := range []string{"http.target", "http.url", "url.path", "url.full"} {
		_, has := attributes.Get(other)
		isRequest = isRequest || has
	}
	isAddress := strings.HasPrefix(path, "/") || strings.Contains(path, "://") || strings.ContainsAny(path, "?=")
	if t.keep["name"] || route != "" && path == route || !isAddress && !(isRequest && strings.Contains(path, "/")) {
		return name
	}
	if method == "" {
		method = verb
	}
	if named := strings.TrimSpace(method + " " + route); named != "" {
		return named
	}
	return span.Kind().String()
}

func first(attributes pcommon.Map, names []string) string {
	for _, name := range names {
		if value, ok := attributes.Get(name); ok && asText(value) != "" {
			return asText(value)
		}
	}
	return ""
}

// attributes cleans attributes, and takes out those that cannot be cleaned.
func (t *tracing) attributes(attributes pcommon.Map, clean *cleaner) {
	all := listed(attributes)
	pcommon.NewMap().MoveTo(attributes)
	for _, one := range all {
		if t.drops(one.name) {
			continue
		}
		if one.name == "exception.stacktrace" && !t.keep[one.name] {
			one.value.SetStr(placesOf(asText(one.value)))
		}
		clean.value(one.value, one.name)
		add(attributes, clean.label(one.name, one.name), one.value)
	}
}

func (t *tracing) drops(name string) bool {
	if isSubject(name) || strings.HasPrefix(name, "ldv.") {
		return true
	}
	return !t.keep[name] && !keptNames[name] && (droppedNames[name] || hasPrefix(name, droppedPrefixes...))
}

// cleanState drops a trace state that a caller may have put somebody in.
func cleanState(state pcommon.TraceState, clean *cleaner) {
	if text := state.AsRaw(); text != "" && clean.text(text, "tracestate") != text {
		state.FromRaw("")
	}
}
