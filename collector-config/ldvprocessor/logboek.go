package ldvprocessor

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	// People beyond the first of their span, in one request: each is a row.
	maxFurther          = 100_000
	tooManyPeople       = "more people are named in one request than become records of their own"
	unknownActivity     = "the Register does not have its processing activity (LDV_REGISTER_CHECK=refuse)"
	strayRefused        = "a BSN stands in it that nobody named as its data subject (LDV_STRAY_BSN=refuse)"
	exceptionName       = "exception"
	jsonName            = "ldv.json"
	parentActivityName  = "dpl.core.parent_processing_activity_id"
	objectsActivityName = "dpl.objects.processing_activity_id"
	foreignPrefix       = "dpl.core.foreign_operation."
	// OTLP: whether it is known that the parent is remote, and that it is.
	parentIsRemote = 0x100 | 0x200
)

var (
	writerForm = regexp.MustCompile(`\A[0-9a-f]{16}\z`)
	seqForm    = regexp.MustCompile(`\A[0-9]{1,19}\z`)
	flagsForm  = regexp.MustCompile(`\A[a-z_]{1,40}(?:,[a-z_]{1,40})*\z`)
	// Lines of a stack trace that hold places and no values: Python's, and the `at` lines of Java and JavaScript.
	frameForm = regexp.MustCompile(
		`\A(?:File "[^"\n]*", line \d+, in [\w.<>]+|at [\w.$<>/ ]+\([\w.$:/-]*\))\z`)
)

// Attributes of the standard that name something of an organisation, not of a person.
var labels = map[string]bool{
	activityName: true, parentActivityName: true, "dpl.core.foreign_operation.processor": true,
	"dpl.core.foreign_operation.trace_id": true, "dpl.core.foreign_operation.span_id": true,
	"dpl.read.nextLogbookId": true, "dpl.read.externalReadAPI_id": true, "dpl.read.nextLogbook": true,
	objectsActivityName: true,
}

// What each record of one Actie has of it, when it is about several people.
var sharedByPeople = map[string]bool{
	activityName: true, objectsActivityName: true, "dpl.read.nextLogbookId": true,
	"dpl.read.externalReadAPI_id": true, "dpl.read.nextLogbook": true,
}

// logboek makes of spans what leaves for the Logboek: of an Actie what the standard names, of a technical span its
// place in the trace, and of nobody more than a pseudonym.
type logboek struct {
	secret        []byte
	keyID         string
	stray         string
	exempt        map[string]bool
	resources     *resourceChoice
	unknownCaller string
	dropTechnical bool
	// Of the Register; nil where activities are not checked (LDV-N15).
	register       *activities
	refusesUnknown bool
	counters       *counters
	// What becomes of one span; tests make it fail.
	rewrite func(*request, ptrace.Span, *facts)
}

// request is what is known of the spans that came together.
type request struct {
	of      *logboek
	traces  *traces
	facts   []*facts // of each span, in their order
	above   map[spanPlace]spanAbove
	further int
}

// facts are what the first look at a span found.
type facts struct {
	trace       pcommon.TraceID // of what is cleaned here
	attributes  []pair
	subjects    subjects
	actie       bool
	ofStandard  bool // it has dpl. attributes
	ofSDK       bool // a record as ldv_otel sends it, which it has cleaned
	failed      bool
	refused     bool
	unknown     bool   // the Register does not have its activity
	transaction string // of FSC, as a header of this span has it
	flags       map[string]bool
}

func newLogboek(config *Config, counters *counters) *logboek {
	return &logboek{
		secret: []byte(config.KeySecret), keyID: config.KeyID, stray: config.StrayBSN,
		exempt: namesIn(config.StrayBSNExcept), dropTechnical: config.TechnicalSpans == "drop", counters: counters,
		resources: newResourceChoice(config.ResourceAttributes), unknownCaller: config.UnknownCallerURL,
		refusesUnknown: config.RegisterCheck == "refuse", rewrite: (*request).rewrite,
	}
}

func (l *logboek) process(ctx context.Context, td ptrace.Traces) (_ ptrace.Traces, err error) {
	defer failed(&err)
	made := &request{of: l, traces: newTraces(), above: map[spanPlace]spanAbove{}}
	for at := range td.ResourceSpans().Len() {
		made.lookAt(td.ResourceSpans().At(at))
	}
	all := made.facts
	for at := range td.ResourceSpans().Len() {
		one := td.ResourceSpans().At(at)
		count := 0
		for scope := range one.ScopeSpans().Len() {
			count += one.ScopeSpans().At(scope).Spans().Len()
		}
		made.resource(one, all[:count])
		for scope := range one.ScopeSpans().Len() {
			scoped := one.ScopeSpans().At(scope)
			// Nothing of it is stored, so it need not be on a disk either.
			pcommon.NewInstrumentationScope().MoveTo(scoped.Scope())
			spans := scoped.Spans()
			for number := range spans.Len() {
				made.safely(spans.At(number), all[0], spans)
				all = all[1:]
			}
		}
	}
	for at := range made.facts {
		l.counters.count(ctx, made.facts[at])
	}
	return td, nil
}

// failed makes an error of a panic, which would end the Collector: the sender keeps its spans, and hears of it.
func failed(err *error) {
	if recover() != nil {
		*err = errors.New("the processor ldv could not read these spans, so they went nowhere")
	}
}

// lookAt reads whom the spans of a resource are about, and takes out those that are not kept.
func (r *request) lookAt(one ptrace.ResourceSpans) {
	onResource := elsewhere(one.Resource().Attributes())
	for scope := range one.ScopeSpans().Len() {
		one.ScopeSpans().At(scope).Spans().RemoveIf(func(span ptrace.Span) bool {
			found := r.look(span)
			r.above[spanPlace{span.TraceID(), span.SpanID()}] = spanAbove{span.ParentSpanID(), found.actie, found.transaction}
			if r.of.dropTechnical && !found.actie {
				return true
			}
			trace := span.TraceID()
			r.traces.add(trace, found.subjects.known)
			r.traces.add(trace, elsewhere(besides(span)...))
			r.traces.add(trace, onResource)
			r.facts = append(r.facts, found)
			return false
		})
	}
}

func (r *request) look(span ptrace.Span) (found *facts) {
	found = &facts{flags: map[string]bool{}}
	found.attributes = canonical(listed(span.Attributes()))
	defer func() {
		if recover() != nil {
			found.failed = true
		}
	}()
	writer, seq := "", ""
	for _, one := range found.attributes {
		found.actie = found.actie || isMark(one.name)
		found.ofStandard = found.ofStandard || strings.HasPrefix(one.name, "dpl.")
		if one.name == writerName {
			writer = asText(one.value)
		} else if one.name == seqName {
			seq = asText(one.value)
		}
	}
	if found.actie {
		nameCaller(found.attributes)
	}
	found.transaction = transactionIn(found.attributes)
	found.subjects = subjectsIn(found.attributes, r.of.secret, r.of.keyID)
	found.ofSDK = found.actie && writerForm.MatchString(writer) && seqForm.MatchString(seq) &&
		len(found.subjects.people) < 2 && len(found.subjects.known) == 0
	return found
}

// resource leaves of a resource what names the system, cleaned of everybody in its spans.
func (r *request) resource(one ptrace.ResourceSpans, spans []*facts) {
	one.SetSchemaUrl("")
	attributes := one.Resource().Attributes()
	inTraces := map[pcommon.TraceID]bool{}
	place := 0
	for scope := range one.ScopeSpans().Len() {
		one.ScopeSpans().At(scope).SetSchemaUrl("")
		for number := range one.ScopeSpans().At(scope).Spans().Len() {
			if found := spans[place]; !found.ofSDK {
				found.trace = one.ScopeSpans().At(scope).Spans().At(number).TraceID()
				inTraces[found.trace] = true
			}
			place++
		}
	}
	if len(inTraces) == 0 {
		// Records of the SDK, which chose by its own settings, and cleaned it.
		return
	}
	r.of.resources.apply(attributes)
	known := r.traces.cleanShared(attributes, inTraces)
	stray := &cleaner{stray: true, masks: r.of.stray != "flag", exempt: r.of.exempt, flags: map[string]bool{}}
	stray.all(attributes)
	for _, found := range spans {
		if found.ofStandard && !found.ofSDK {
			found.flags[flagRedacted] = known[found.trace]
			found.flags[flagStray] = stray.flags[flagStray]
		}
	}
}

func (r *request) cleaner(trace pcommon.TraceID, flags map[string]bool, own []identifier) *cleaner {
	return &cleaner{
		around: r.traces.searcher(trace), own: newSearcher(own, true, &r.traces.budget), stray: true, masks: r.of.stray != "flag",
		exempt: r.of.exempt, flags: flags,
	}
}

// safely rewrites a span; one that cannot be rewritten is stored with ids, times, outcome and people alone (LDV-A8),
// because anything else of it may be raw.
func (r *request) safely(span ptrace.Span, found *facts, spans ptrace.SpanSlice) {
	defer func() {
		if recover() == nil {
			return
		}
		found.flags[flagFailed] = true
		bare(span)
		if found.actie {
			span.Attributes().PutStr(activityName, "")
			if people := found.subjects.people; len(people) > 0 {
				people[0].kind = knownTypes[strings.ToLower(people[0].kind)]
				setPerson(span.Attributes(), people[0], &cleaner{flags: found.flags})
			}
			span.Attributes().PutStr(flagsName, sortedFlags(found.flags))
			r.further += others(span, found, spans)
		}
	}()
	if found.failed {
		panic("the first look at it failed")
	}
	inTime(span)
	r.of.rewrite(r, span, found)
	r.further += others(span, found, spans)
}

// bare leaves of a span its place in the trace, its times and its outcome.
func bare(span ptrace.Span) {
	span.SetName("")
	span.Status().SetMessage("")
	span.TraceState().FromRaw("")
	pcommon.NewMap().MoveTo(span.Attributes())
	span.Events().RemoveIf(func(ptrace.SpanEvent) bool { return true })
	span.Links().RemoveIf(func(ptrace.SpanLink) bool { return true })
	span.SetDroppedAttributesCount(0)
}

// inTime moves a moment beyond what 64 bits of nanoseconds hold, which ClickHouse would refuse over and over.
func inTime(span ptrace.Span) {
	if span.StartTimestamp() > math.MaxInt64 {
		span.SetStartTimestamp(0)
	}
	if span.EndTimestamp() > math.MaxInt64 {
		span.SetEndTimestamp(span.StartTimestamp())
	}
}

func (r *request) rewrite(span ptrace.Span, found *facts) {
	name, exception := span.Name(), lastException(span)
	bare(span)
	if !found.ofStandard {
		return
	}
	attributes := span.Attributes()
	if found.ofSDK {
		span.SetName(name)
		for _, one := range found.attributes {
			if hasPrefix(one.name, "dpl.", "ldv.", "exception.") && one.name != refusedName {
				one.value.MoveTo(put(attributes, one.name))
			}
		}
		return
	}
	clean := r.cleaner(span.TraceID(), found.flags, found.subjects.known)
	span.SetName(clean.text(name, "name"))
	var typed []string
	// Of several attributes of one name the last has it, as in OpenTelemetry; backwards, so that it comes first.
	for place := len(found.attributes) - 1; place >= 0; place-- {
		one := found.attributes[place]
		if one.name == flagsName && flagsForm.MatchString(asText(one.value)) {
			clean.flag(strings.Split(asText(one.value), ",")...)
		}
		if !strings.HasPrefix(one.name, "dpl.") || one.name == subjectName || one.name == typeName {
			continue
		}
		short := clean.own
		if labels[one.name] {
			clean.own = nil
		}
		clean.value(one.value, one.name)
		clean.own = short
		name := clean.label(one.name, one.name)
		switch one.value.Type() {
		case pcommon.ValueTypeInt, pcommon.ValueTypeDouble, pcommon.ValueTypeBool, pcommon.ValueTypeSlice, pcommon.ValueTypeMap:
			if !strings.Contains(name, ",") {
				typed = append(typed, name)
			}
		}
		add(attributes, name, one.value)
	}
	if slices.Sort(typed); len(typed) > 0 {
		// The tables have texts; so an answer has these as they were set.
		attributes.PutStr(jsonName, strings.Join(slices.Compact(typed), ","))
	}
	if exception != nil {
		exception.clean(clean, span)
	}
	r.caller(span)
	if found.actie {
		r.transaction(span, found, clean)
		r.checkActivity(span, found)
	}
	r.subject(span, found, clean)
	r.refuse(span, found)
	if flags := sortedFlags(found.flags); flags != "" {
		attributes.PutStr(flagsName, flags)
	}
}

// add puts an attribute that may be there already; the same value twice is one.
func add(attributes pcommon.Map, name string, value pcommon.Value) {
	if there, ok := attributes.Get(name); ok && there.Equal(value) {
		return
	}
	value.MoveTo(put(attributes, name))
}

// caller names an application that called and that the span does not name, so that a reader can tell its parent from one
// of this Logboek (LDV-N10). That there was one, its ids say, or the flags of the span: its parent is remote.
func (r *request) caller(span ptrace.Span) {
	attributes := span.Attributes()
	given := func(name string) bool {
		value, ok := attributes.Get(foreignPrefix + name)
		return ok && asText(value) != ""
	}
	remote := span.Flags()&parentIsRemote == parentIsRemote && !span.ParentSpanID().IsEmpty()
	if (remote || given("trace_id") || given("span_id")) && !given("processor") {
		attributes.PutStr(foreignPrefix+"processor", r.of.unknownCaller)
	}
}

// checkActivity flags a record that names an activity which the Register does not have (LDV-N15).
func (r *request) checkActivity(span ptrace.Span, found *facts) {
	if r.of.register == nil {
		return
	}
	own := namedIn(span.Attributes(), activityName)
	if own == "" {
		own = namedIn(span.Attributes(), objectsActivityName)
	}
	found.unknown = own != "" && !r.of.register.have(own)
	main := namedIn(span.Attributes(), parentActivityName)
	if found.unknown || main != "" && !r.of.register.have(main) {
		found.flags[flagUnknownActivity] = true
	}
}

func namedIn(attributes pcommon.Map, name string) string {
	value, ok := attributes.Get(name)
	if !ok {
		return ""
	}
	return strings.TrimFunc(asText(value), isSpace)
}

// subject sets the first person of a span.
func (r *request) subject(span ptrace.Span, found *facts, clean *cleaner) {
	if len(found.subjects.people) == 0 {
		return
	}
	setPerson(span.Attributes(), found.subjects.people[0], clean)
	clean.flag(found.subjects.people[0].flags...)
}

func setPerson(attributes pcommon.Map, one person, clean *cleaner) {
	kind := one.kind
	if !isKnownType(kind) {
		kind = clean.label(kind, typeName)
	}
	attributes.PutStr(subjectName, one.pseudonym)
	attributes.PutStr(typeName, kind)
	if one.pseudonym != "" {
		attributes.PutStr(keyName, clean.label(one.keyID, keyName))
	}
}

// refuse marks a span that does not become a record; the tables keep it with the reason, and whom it is about is not
// kept there.
func (r *request) refuse(span ptrace.Span, found *facts) {
	reason := ""
	if r.of.stray == "refuse" && found.flags[flagStray] {
		reason = strayRefused
	}
	if r.of.refusesUnknown && found.unknown {
		reason = unknownActivity
	}
	if r.further+len(found.subjects.people) > maxFurther {
		reason = tooManyPeople
	}
	if reason != "" {
		span.Attributes().PutStr(refusedName, reason)
		found.subjects.people, found.refused = nil, true
	}
}

// others adds a span for each further person of an Actie: a child of its own, with an id that is the same each time
// (LDV-A4). It returns how many.
func others(span ptrace.Span, found *facts, spans ptrace.SpanSlice) int {
	people := found.subjects.people
	if len(people) < 2 {
		return 0
	}
	trace, id := span.TraceID(), span.SpanID()
	for number, one := range people[1:] {
		child := spans.AppendEmpty()
		child.SetTraceID(trace)
		child.SetParentSpanID(id)
		child.SetSpanID(childID(trace, id, number+1))
		child.SetName(span.Name())
		child.SetKind(span.Kind())
		child.SetStartTimestamp(span.StartTimestamp())
		child.SetEndTimestamp(span.EndTimestamp())
		child.Status().SetCode(span.Status().Code())
		for name, value := range span.Attributes().All() {
			if sharedByPeople[name] {
				value.CopyTo(child.Attributes().PutEmpty(name))
			}
		}
		flags := map[string]bool{}
		for _, flag := range []string{flagStray, flagRedacted} {
			if found.flags[flag] {
				flags[flag] = true
			}
		}
		clean := &cleaner{flags: flags}
		clean.flag(one.flags...)
		kind, _ := span.Attributes().Get(typeName)
		if one.kind == people[0].kind {
			one.kind = kind.Str()
		}
		setPerson(child.Attributes(), one, clean)
		if text := sortedFlags(flags); text != "" {
			child.Attributes().PutStr(flagsName, text)
		}
	}
	return len(people) - 1
}

// childID returns the id that the SDK and `ldv import` give the record of a further person.
func childID(trace pcommon.TraceID, id pcommon.SpanID, number int) pcommon.SpanID {
	sum := sha256.Sum256(append(append(trace[:], id[:]...), strconv.Itoa(number)...))
	return pcommon.SpanID(sum[:8])
}

// exceptionFacts are of the last exception of a span, the one that ended the Actie.
type exceptionFacts struct {
	at         pcommon.Timestamp
	kind       string
	stacktrace string
}

func lastException(span ptrace.Span) *exceptionFacts {
	if span.Status().Code() != ptrace.StatusCodeError {
		return nil
	}
	for at := span.Events().Len() - 1; at >= 0; at-- {
		event := span.Events().At(at)
		if event.Name() == exceptionName {
			found := &exceptionFacts{at: event.Timestamp()}
			for name, value := range event.Attributes().All() {
				switch name {
				case "exception.type":
					found.kind = asText(value)
				case "exception.stacktrace":
					found.stacktrace = asText(value)
				}
			}
			return found
		}
	}
	return nil
}

// clean puts the exception back with its type and the places in code: messages may quote anything.
func (e *exceptionFacts) clean(clean *cleaner, span ptrace.Span) {
	event := span.Events().AppendEmpty()
	event.SetName(exceptionName)
	event.SetTimestamp(e.at)
	event.Attributes().PutStr("exception.type", clean.text(e.kind, "exception.type"))
	if places := placesOf(e.stacktrace); places != "" {
		event.Attributes().PutStr("exception.stacktrace", clean.text(places, "exception.stacktrace"))
	}
}

// placesOf returns the lines of a stack trace that name places in code.
func placesOf(stacktrace string) string {
	var places []string
	for line := range strings.Lines(stacktrace) {
		if line = strings.TrimFunc(line, isSpace); frameForm.MatchString(line) {
			places = append(places, line)
		}
	}
	return strings.Join(places, "\n")
}
