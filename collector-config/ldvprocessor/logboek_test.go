package ldvprocessor

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
)

const (
	testBSN    = "123456782"
	otherBSN   = "999990019"
	testSecret = "for tests only: not a secret, but long enough"
	activity   = "https://register.example/activiteiten/parkeren"
)

// The spellings in which an application may quote a number that it named.
var quoted = []string{
	testBSN, "123.456.782", "123 456 782", "123-456-782", "0123456782", "1.23456782e8", "\uff11\uff12\uff13456782",
	"\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0662", "%31%32%33456782", "%2531%2532%2533456782", `\u003123456782`,
	"123\u200b456782", "1_2_3_4_5_6_7_8_2", "&#49;23456782",
}

func testConfig() *Config {
	return &Config{
		Output: forLogboek, KeyID: "2026", KeySecret: testSecret, StrayBSN: "redact", RegisterCheck: "off",
		TechnicalSpans:   "keep",
		UnknownCallerURL: unknownCaller,
	}
}

// run sends spans through the processor as a Collector makes it, and returns what comes out.
func run(t *testing.T, config *Config, td ptrace.Traces) ptrace.Traces {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	sink := new(consumertest.TracesSink)
	factory := NewFactory()
	made, err := factory.CreateTraces(context.Background(), processortest.NewNopSettings(factory.Type()), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	if err := made.ConsumeTraces(context.Background(), throughTheWire(t, td)); err != nil {
		t.Fatal(err)
	}
	return sink.AllTraces()[0]
}

// throughTheWire gives spans as a receiver does.
func throughTheWire(t *testing.T, td ptrace.Traces) ptrace.Traces {
	t.Helper()
	raw, err := new(ptrace.ProtoMarshaler).MarshalTraces(td)
	if err != nil {
		t.Fatal(err)
	}
	found, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(raw)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func written(t *testing.T, td ptrace.Traces) string {
	t.Helper()
	text, err := new(ptrace.JSONMarshaler).MarshalTraces(td)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newSpan(td ptrace.Traces) ptrace.Span {
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID([16]byte{1})
	span.SetSpanID([8]byte{2})
	span.SetStartTimestamp(1e18)
	span.SetEndTimestamp(1e18 + 5)
	return span
}

func newActie(td ptrace.Traces) ptrace.Span {
	span := newSpan(td)
	span.SetName("Wijzig kenteken")
	span.Attributes().PutStr(activityName, activity)
	return span
}

func spansOf(td ptrace.Traces) []ptrace.Span {
	var found []ptrace.Span
	eachSpan(td, func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, span ptrace.Span) { found = append(found, span) })
	return found
}

func text(t *testing.T, span ptrace.Span, name string) string {
	t.Helper()
	value, ok := span.Attributes().Get(name)
	if !ok {
		return "(none)"
	}
	return value.AsString()
}

func subjectValues() map[string]func(pcommon.Value) {
	return map[string]func(pcommon.Value){
		"string": func(v pcommon.Value) { v.SetStr(testBSN) },
		"dotted": func(v pcommon.Value) { v.SetStr("123.456.782") },
		"int":    func(v pcommon.Value) { v.SetInt(123456782) },
		"double": func(v pcommon.Value) { v.SetDouble(123456782) },
		"bytes":  func(v pcommon.Value) { v.SetEmptyBytes().FromRaw([]byte(testBSN)) },
		"slice":  func(v pcommon.Value) { v.SetEmptySlice().AppendEmpty().SetInt(123456782) },
		"digits": func(v pcommon.Value) {
			list := v.SetEmptySlice()
			for _, digit := range testBSN {
				list.AppendEmpty().SetInt(int64(digit))
			}
		},
		"map": func(v pcommon.Value) { v.SetEmptyMap().PutStr("nummer", testBSN) },
	}
}

// putQuotes writes a number in every place of a span that goes to the Logboek.
func putQuotes(span ptrace.Span, resource pcommon.Resource, quote string) {
	span.SetName("Vergunning van " + quote)
	span.Status().SetCode(ptrace.StatusCodeError)
	span.Status().SetMessage("niet gevonden: " + quote)
	span.TraceState().FromRaw("x=" + quote)
	attributes := span.Attributes()
	attributes.PutStr("dpl.core.zaak", "Z-2026-"+quote)
	attributes.PutStr("dpl.naam."+quote, "x")
	attributes.PutStr("dpl.core.parent_processing_activity_id", "https://register.example/"+quote)
	attributes.PutInt("dpl.number", 123456782)
	attributes.PutDouble("dpl.double", 123456782)
	attributes.PutEmptyBytes("dpl.bytes").FromRaw([]byte(quote))
	attributes.PutEmptySlice("dpl.list").AppendEmpty().SetStr(quote)
	attributes.PutEmptyMap("dpl.map").PutEmptyMap(quote).PutStr("x", quote)
	attributes.PutStr("ldv.other", quote)
	attributes.PutStr("http.url", "https://x.example/"+quote)
	for _, name := range []string{"iets " + quote, exceptionName} {
		event := span.Events().AppendEmpty()
		event.SetName(name)
		event.Attributes().PutStr("exception.type", "Fout"+quote)
		event.Attributes().PutStr("exception.message", quote)
		event.Attributes().PutStr("exception.stacktrace",
			"Traceback\n  File \"/x/"+quote+".py\", line 1, in f\n    zoek("+quote+")\nFout: "+quote)
	}
	link := span.Links().AppendEmpty()
	link.TraceState().FromRaw("x=" + quote)
	link.Attributes().PutStr("x", quote)
	resource.Attributes().PutStr("service.version", quote)
	resource.Attributes().PutStr("process.command_line", quote)
}

func assertClean(t *testing.T, td ptrace.Traces) {
	t.Helper()
	all := written(t, td)
	for _, form := range quoted {
		if strings.Contains(all, form) {
			t.Errorf("%q is still there: %s", form, all)
		}
	}
	known := newSearcher([]identifier{{testBSN, "BSN"}}, false, unlimited())
	for _, one := range spansOf(td) {
		if known.finds(one.Name()) {
			t.Errorf("it is still in the name %q", one.Name())
		}
		for name, value := range one.Attributes().All() {
			if known.finds(name) || known.finds(value.AsString()) {
				t.Errorf("it is still in %s", name)
			}
		}
	}
}

// Told in one form and of one type, quoted in another, in every place: nothing raw leaves.
func TestAKnownIdentifierIsNowhere(t *testing.T) {
	for form, set := range subjectValues() {
		for _, quote := range quoted {
			for _, name := range []string{subjectName, "dpl.core.dataSubjectId", "dpl.core.DataSubject_ID"} {
				td := ptrace.NewTraces()
				span := newActie(td)
				set(span.Attributes().PutEmpty(name))
				span.Attributes().PutStr(typeName, "BSN")
				putQuotes(span, td.ResourceSpans().At(0).Resource(), quote)
				config := testConfig()
				config.StrayBSN = "flag"
				out := run(t, config, td)
				assertClean(t, out)
				made := spansOf(out)[0]
				if form != "map" && text(t, made, subjectName) != pseudonymOf([]byte(testSecret), "BSN", testBSN) {
					t.Errorf("%s %s: another person", form, name)
				}
				if !strings.Contains(text(t, made, flagsName), flagRedacted) {
					t.Errorf("%s %q: it is not flagged", form, quote)
				}
			}
		}
	}
}

// Also where the span is refused: the tables keep its name and its dpl. attributes.
func TestASpanThatIsRefusedHasNothingRaw(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.SetTraceID([16]byte{})
	span.Attributes().PutStr(subjectName, testBSN)
	putQuotes(span, td.ResourceSpans().At(0).Resource(), testBSN)
	assertClean(t, run(t, testConfig(), td))
}

// Who is known in one span of a trace is known in the others that came with it.
func TestTheOthersOfItsTraceAreCleanedToo(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.Attributes().PutStr(subjectName, "A.Jansen-7")
	below := newActie(td)
	below.SetName("Zoek a.jansen-7")
	made := spansOf(run(t, testConfig(), td))
	if made[1].Name() != "Zoek REDACTED" {
		t.Errorf("the name is %q", made[1].Name())
	}
}

// A short identifier says nothing inside a text, nor in an address, and is found where it stands alone.
func TestAShortIdentifier(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.SetName("Klant 7 van 17")
	span.Attributes().PutStr(subjectName, "7")
	span.Attributes().PutStr("dpl.core.foreign_operation.processor", "https://x.example/7")
	made := spansOf(run(t, testConfig(), td))[0]
	if made.Name() != "Klant REDACTED van 17" {
		t.Errorf("the name is %q", made.Name())
	}
	if found := text(t, made, "dpl.core.foreign_operation.processor"); found != "https://x.example/7" {
		t.Errorf("the address is %q", found)
	}
}

// An attribute that comes twice, as .NET's AddTag makes it: both people are logged, each with a record.
func TestAKeyThatComesTwice(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.SetName("Huwelijk van " + testBSN + " en " + otherBSN)
	raw := wireTwice(t, td, subjectName, testBSN, otherBSN)
	out := run(t, testConfig(), raw)
	all := written(t, out)
	if strings.Contains(all, testBSN) || strings.Contains(all, otherBSN) {
		t.Errorf("a number is still there: %s", all)
	}
	made := spansOf(out)
	var people []string
	for _, one := range made {
		people = append(people, text(t, one, subjectName))
	}
	secret := []byte(testSecret)
	if !slices.Equal(people, []string{pseudonymOf(secret, "", testBSN), pseudonymOf(secret, "", otherBSN)}) {
		t.Errorf("the people are %v", people)
	}
	if made[1].ParentSpanID() != made[0].SpanID() || made[1].Name() != "Huwelijk van REDACTED en REDACTED" ||
		text(t, made[1], activityName) != activity {
		t.Errorf("the second record is not that of the first: %s", all)
	}
}

// Other attributes that come twice keep both values; of each name there is one.
func TestOtherKeysThatComeTwice(t *testing.T) {
	td := ptrace.NewTraces()
	newActie(td)
	made := spansOf(run(t, testConfig(), wireTwice(t, td, "dpl.zaak", "een", "twee", "twee")))[0]
	if text(t, made, "dpl.zaak") != "twee" || text(t, made, "dpl.zaak_") != "een" || text(t, made, "dpl.zaak__") != "(none)" {
		t.Errorf("the attributes are %v", made.Attributes().AsRaw())
	}
}

// wireTwice gives spans whose last one has several attributes of one name.
func wireTwice(t *testing.T, td ptrace.Traces, name string, values ...string) ptrace.Traces {
	t.Helper()
	all := spansOf(td)
	span := all[len(all)-1]
	placeholders := make([]string, len(values))
	for place, value := range values {
		placeholders[place] = strings.Repeat(string(rune('A'+place)), len(name))
		span.Attributes().PutStr(placeholders[place], value)
	}
	raw, err := new(ptrace.ProtoMarshaler).MarshalTraces(td)
	if err != nil {
		t.Fatal(err)
	}
	changed := string(raw)
	for _, placeholder := range placeholders {
		changed = strings.Replace(changed, placeholder, name, 1)
	}
	found, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces([]byte(changed))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A list is several people (LDV-A4), each once; the ids of their records are the same each time.
func TestAListIsSeveralPeople(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	list := span.Attributes().PutEmptySlice(subjectName)
	list.AppendEmpty().SetStr(testBSN)
	list.AppendEmpty().SetInt(999990019)
	list.AppendEmpty().SetStr("123.456.782")
	list.AppendEmpty().SetStr("")
	span.Attributes().PutStr(typeName, "bsn")
	span.Attributes().PutStr("dpl.zaak", "Z1")
	made := spansOf(run(t, testConfig(), td))
	if len(made) != 2 {
		t.Fatalf("there are %d records", len(made))
	}
	if id := made[1].SpanID().String(); id != "c5ce5d305e5d9c04" {
		t.Errorf("the id of the second is %s", id)
	}
	if text(t, made[1], "dpl.zaak") != "(none)" || text(t, made[1], typeName) != "BSN" {
		t.Errorf("the second is %v", made[1].Attributes().AsRaw())
	}
	if text(t, made[0], flagsName) != flagEmpty {
		t.Errorf("the flags are %q", text(t, made[0], flagsName))
	}
}

// More people than can be records of their own are no records: their span is refused, with the reason.
func TestTooManyPeople(t *testing.T) {
	td := ptrace.NewTraces()
	list := newActie(td).Attributes().PutEmptySlice(subjectName)
	for number := range maxFurther + 2 {
		list.AppendEmpty().SetInt(int64(100_000_000 + number))
	}
	made := spansOf(run(t, testConfig(), td))
	if len(made) != 1 || text(t, made[0], refusedName) != tooManyPeople {
		t.Errorf("there are %d records, refused: %s", len(made), text(t, made[0], refusedName))
	}
}

// What is missing is nobody: a pseudonym of `nan` would be one person in everybody's records.
func TestWhatIsMissingIsNobody(t *testing.T) {
	for _, missing := range []string{"", "nan", "NaT", "None", "null", "000000000", "*****"} {
		td := ptrace.NewTraces()
		span := newActie(td)
		span.Attributes().PutStr(subjectName, missing)
		span.Attributes().PutStr(typeName, "BSN")
		made := spansOf(run(t, testConfig(), td))[0]
		if text(t, made, subjectName) != "" || text(t, made, flagsName) != flagEmpty || text(t, made, keyName) != "(none)" {
			t.Errorf("%q is %v", missing, made.Attributes().AsRaw())
		}
	}
}

// A pseudonym that an SDK made passes as it is; a number that only pretends does not.
func TestTheMarksOfAnActieAsTheyAreWritten(t *testing.T) {
	for name, isActie := range map[string]bool{
		"dpl.objects.dataset": true, "dpl.objects.datasets": true, "dpl.object.dataset": true, "dpl.object.x": true,
		activityName: true, subjectName: true, "dpl.core.processing_activity": false, "dpl.objects": false, "objects.x": false,
	} {
		td := ptrace.NewTraces()
		span := newActie(td)
		span.Attributes().Clear()
		span.Attributes().PutStr(name, "x")
		span.Attributes().PutStr("foreign_operation.processor", "https://elders.example")
		made := spansOf(run(t, testConfig(), td))[0]
		if got := text(t, made, "dpl.core.foreign_operation.processor") == "https://elders.example"; got != isActie {
			t.Errorf("%s: %v", name, made.Attributes().AsRaw())
		}
	}
}

func TestAPseudonymIsLeftAlone(t *testing.T) {
	for value, kept := range map[string]bool{"5d41402abc4b2a76b9719d911017c592": true, testBSN: false} {
		td := ptrace.NewTraces()
		span := newActie(td)
		span.Attributes().PutStr(subjectName, value)
		span.Attributes().PutStr(keyName, "older")
		made := spansOf(run(t, testConfig(), td))[0]
		if (text(t, made, subjectName) == value) != kept || (text(t, made, keyName) == "older") != kept {
			t.Errorf("%q is %v", value, made.Attributes().AsRaw())
		}
	}
}

func sdkRecord(td ptrace.Traces, subject string) ptrace.Span {
	span := newActie(td)
	span.SetName("Zaak 123456782")
	for name, value := range map[string]string{
		writerName: "0123456789abcdef", seqName: "7", subjectName: subject, keyName: "older", "exception.type": "Fout",
		"ldv.outbound_span_ids": "x", "dpl.x": testBSN, refusedName: "by a stranger",
	} {
		span.Attributes().PutStr(name, value)
	}
	return span
}

// What ldv_otel recorded was cleaned there, by its own settings; with a raw identifier it is no such record.
func TestARecordOfTheSDK(t *testing.T) {
	td := ptrace.NewTraces()
	sdkRecord(td, "5d41402abc4b2a76b9719d911017c592")
	made := spansOf(run(t, testConfig(), td))[0]
	if made.Name() != "Zaak 123456782" || text(t, made, "dpl.x") != testBSN || text(t, made, "exception.type") != "Fout" ||
		text(t, made, seqName) != "7" || text(t, made, flagsName) != "(none)" || text(t, made, refusedName) != "(none)" {
		t.Errorf("it is %v", made.Attributes().AsRaw())
	}
	td = ptrace.NewTraces()
	sdkRecord(td, otherBSN)
	all := written(t, run(t, testConfig(), td))
	for _, gone := range []string{otherBSN, testBSN, writerName, "outbound"} {
		if strings.Contains(all, gone) {
			t.Errorf("%s is still there: %s", gone, all)
		}
	}
}

// A BSN that nobody named (LDV-N14): by default it goes, it can be kept or refused, and is flagged each time.
func TestAStrayBSN(t *testing.T) {
	for policy, name := range map[string]string{
		"redact": "Zaak van " + mask, "flag": "Zaak van 123.456.782", "refuse": "Zaak van " + mask,
	} {
		td := ptrace.NewTraces()
		span := newActie(td)
		span.SetName("Zaak van 123.456.782")
		span.Attributes().PutInt("dpl.nummer", 999990019)
		span.Attributes().PutStr("dpl.zaak", "123456782")
		td.ResourceSpans().At(0).Resource().Attributes().PutStr("service.version", "123456782")
		config := testConfig()
		config.StrayBSN, config.StrayBSNExcept = policy, "dpl.zaak, service.version"
		out := run(t, config, td)
		made := spansOf(out)[0]
		if made.Name() != name || text(t, made, "dpl.zaak") != testBSN || text(t, made, flagsName) != flagStray {
			t.Errorf("%s: it is %q, %v", policy, made.Name(), made.Attributes().AsRaw())
		}
		if (text(t, made, "dpl.nummer") == otherBSN) != (policy == "flag") {
			t.Errorf("%s: the number is %s", policy, text(t, made, "dpl.nummer"))
		}
		if (text(t, made, refusedName) == strayRefused) != (policy == "refuse") {
			t.Errorf("%s: refused: %s", policy, text(t, made, refusedName))
		}
		if version, _ := out.ResourceSpans().At(0).Resource().Attributes().Get("service.version"); version.Str() != testBSN {
			t.Errorf("%s: the version is %s", policy, version.Str())
		}
	}
}

// In the resource it is flagged in each of its records.
func TestAStrayBSNInTheResource(t *testing.T) {
	td := ptrace.NewTraces()
	newActie(td)
	td.ResourceSpans().At(0).Resource().Attributes().PutStr("service.version", testBSN)
	out := run(t, testConfig(), td)
	if strings.Contains(written(t, out), testBSN) || text(t, spansOf(out)[0], flagsName) != flagStray {
		t.Errorf("it is %s", written(t, out))
	}
}

// A technical span keeps its place in the trace; nothing else of it gets to a disk, or it is dropped.
func TestATechnicalSpan(t *testing.T) {
	for _, drop := range []bool{false, true} {
		td := ptrace.NewTraces()
		span := newSpan(td)
		span.SetKind(ptrace.SpanKindClient)
		span.SetName("GET /x/" + testBSN)
		span.Attributes().PutStr("ldv.x", testBSN)
		span.Events().AppendEmpty().SetName(testBSN)
		span.Links().AppendEmpty().Attributes().PutStr("x", testBSN)
		scope := td.ResourceSpans().At(0).ScopeSpans().At(0)
		scope.Scope().SetName(testBSN)
		scope.SetSchemaUrl("https://x.example/" + testBSN)
		newActie(td)
		config := testConfig()
		if drop {
			config.TechnicalSpans = "drop"
		}
		out := run(t, config, td)
		if strings.Contains(written(t, out), testBSN) {
			t.Errorf("it is %s", written(t, out))
		}
		made := spansOf(out)
		if kept := len(made) == 2 && made[0].Kind() == ptrace.SpanKindClient; kept == drop {
			t.Errorf("with drop %t there are %d spans", drop, len(made))
		}
	}
}

// Of an exception its type and the places in code stay (LDV-A9), of the last one of a span that failed.
func TestAnException(t *testing.T) {
	for _, code := range []ptrace.StatusCode{ptrace.StatusCodeError, ptrace.StatusCodeOk} {
		td := ptrace.NewTraces()
		span := newActie(td)
		span.Status().SetCode(code)
		event := span.Events().AppendEmpty()
		event.SetName(exceptionName)
		event.Attributes().PutStr("exception.type", "Fout")
		event.Attributes().PutStr("exception.message", "Jan Jansen")
		event.Attributes().PutStr("exception.stacktrace", "Fout: Jan\n  at f (a.js:1:2)\n  File \"x.py\", line 1, in f\n    Jan")
		made := spansOf(run(t, testConfig(), td))[0]
		if code != ptrace.StatusCodeError {
			if made.Events().Len() != 0 {
				t.Error("an exception that the span survived is kept")
			}
			continue
		}
		found := made.Events().At(0).Attributes().AsRaw()
		if len(found) != 2 || found["exception.type"] != "Fout" ||
			found["exception.stacktrace"] != "at f (a.js:1:2)\nFile \"x.py\", line 1, in f" {
			t.Errorf("the exception is %v", found)
		}
	}
}

// Whatever fails, the record is stored with its ids and times (LDV-A8), and nothing raw with it.
func TestWhateverFailsTheRecordIsStored(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.Attributes().PutStr(subjectName, testBSN)
	putQuotes(span, td.ResourceSpans().At(0).Resource(), testBSN)
	counting, err := newCounters(processortest.NewNopSettings(NewFactory().Type()))
	if err != nil {
		t.Fatal(err)
	}
	failing := newLogboek(testConfig(), counting)
	failing.rewrite = func(*request, ptrace.Span, *facts) { panic(testBSN) }
	out, err := failing.process(context.Background(), td)
	if err != nil {
		t.Fatal(err)
	}
	made := spansOf(out)[0]
	if !strings.Contains(text(t, made, flagsName), flagFailed) ||
		text(t, made, subjectName) != pseudonymOf([]byte(testSecret), "", testBSN) || made.SpanID() != [8]byte{2} || text(t, made, activityName) != "" {
		t.Errorf("it is %v", made.Attributes().AsRaw())
	}
	if strings.Contains(written(t, out), testBSN) {
		t.Errorf("it is %s", written(t, out))
	}
}

// No depth of a value stops the processor or hides a number.
func TestADeepValue(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.Attributes().PutStr(subjectName, testBSN)
	value := span.Attributes().PutEmpty("dpl.diep")
	for range 3 * maxDepth {
		value = value.SetEmptySlice().AppendEmpty()
	}
	value.SetStr(testBSN)
	out := run(t, testConfig(), td)
	if all := written(t, out); strings.Contains(all, testBSN) || !strings.Contains(all, flagCut) {
		t.Errorf("it is %s", all)
	}
}

// A time that ClickHouse cannot store would be tried for ever.
func TestATimeBeyondAll(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	span.SetStartTimestamp(1 << 63)
	span.SetEndTimestamp(1<<64 - 1)
	made := spansOf(run(t, testConfig(), td))[0]
	if made.StartTimestamp() != 0 || made.EndTimestamp() != 0 {
		t.Errorf("it is from %d to %d", made.StartTimestamp(), made.EndTimestamp())
	}
}

// Without a key there are no pseudonyms, and what a setting may not be is said with its variable.
func TestAConfigurationThatCannotBe(t *testing.T) {
	for problem, change := range map[string]func(*Config){
		"key_secret":      func(c *Config) { c.KeySecret = "short" },
		"key_id":          func(c *Config) { c.KeyID = "" },
		"stray_bsn":       func(c *Config) { c.StrayBSN = "ignore" },
		"technical_spans": func(c *Config) { c.TechnicalSpans = "no" },
		"output":          func(c *Config) { c.Output = "" },
	} {
		config := testConfig()
		change(config)
		err := config.Validate()
		if err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: %v", problem, err)
		}
	}
}

func unlimited() *int {
	left := maxSearch
	return &left
}

// A request that would take hours to search loses its texts instead, and none of its records.
func TestASearchWithoutEnd(t *testing.T) {
	td := ptrace.NewTraces()
	span := newActie(td)
	list := span.Attributes().PutEmptySlice(subjectName)
	for length := range 3000 {
		list.AppendEmpty().SetStr("x" + strings.Repeat("y", length+10))
	}
	for place := range 300 {
		span.Attributes().PutStr("dpl."+strings.Repeat("a", place+1), strings.Repeat("z ", 2500))
	}
	span.Attributes().PutStr(activityName, activity)
	made := spansOf(run(t, testConfig(), td))
	if len(made) != 3000 || made[0].Name() != redactedWord && !strings.Contains(text(t, made[0], flagsName), flagRedacted) {
		t.Errorf("there are %d records; the first is %q, %s", len(made), made[0].Name(), text(t, made[0], flagsName))
	}
}

// A reader can tell a foreign parent from an own one, also where nobody knows who called (LDV-N10).
func TestACallerThatNobodyKnows(t *testing.T) {
	const known = "https://rdw.example/app"
	for name, one := range map[string]struct {
		set    func(ptrace.Span)
		wanted string
	}{
		"an id of the caller": {func(s ptrace.Span) { s.Attributes().PutStr(foreignPrefix+"span_id", "ab") }, unknownCaller},
		"without a namespace": {func(s ptrace.Span) { s.Attributes().PutStr("foreign_operation.trace_id", "ab") }, unknownCaller},
		"a remote parent":     {func(s ptrace.Span) { s.SetFlags(parentIsRemote | 1) }, unknownCaller},
		"a parent of its own": {func(s ptrace.Span) { s.SetFlags(0x100 | 1) }, ""},
		"no id":               {func(s ptrace.Span) { s.Attributes().PutStr(foreignPrefix+"span_id", "") }, ""},
		"who called": {func(s ptrace.Span) {
			s.SetFlags(parentIsRemote)
			s.Attributes().PutStr(foreignPrefix+"processor", known)
		}, known},
	} {
		td := ptrace.NewTraces()
		span := newActie(td)
		span.SetParentSpanID([8]byte{1})
		one.set(span)
		made := spansOf(run(t, testConfig(), td))[0]
		caller := ""
		if found, ok := made.Attributes().Get(foreignPrefix + "processor"); ok {
			caller = found.Str()
		}
		if caller != one.wanted {
			t.Errorf("%s: the caller is %q", name, caller)
		}
	}
	config := testConfig()
	config.UnknownCallerURL = "urn:x"
	if config.Validate() == nil {
		t.Error("an address that others refuse was taken")
	}
}
