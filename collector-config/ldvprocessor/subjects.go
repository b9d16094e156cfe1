package ldvprocessor

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Names of the standard, and of this project.
const (
	activityName = "dpl.core.processing_activity_id"
	subjectName  = "dpl.core.data_subject_id"
	typeName     = "dpl.core.data_subject_id_type"
	keyName      = "ldv.key_id"
	flagsName    = "ldv.flags"
	refusedName  = "ldv.refused"
	writerName   = "ldv.writer_id"
	seqName      = "ldv.seq"
)

// isMark tells whether an attribute makes its span an Actie, present even when empty (LDV-N9): the rule of the SDK's
// `is_actie`.
func isMark(name string) bool {
	return name == activityName || name == subjectName || hasPrefix(name, "dpl.objects.", "dpl.object.")
}

// nameCaller gives the caller its name of the standard where it is written without: some write it so beside the marks of
// an Actie (LDV-N9). The whole name goes first.
func nameCaller(attributes []pair) {
	there := map[string]bool{}
	for _, one := range attributes {
		there[one.name] = true
	}
	for place, one := range attributes {
		if whole := "dpl.core." + one.name; callerNames[whole] && !there[whole] {
			attributes[place].name = whole
		}
	}
}

var callerNames = map[string]bool{
	"dpl.core.foreign_operation.trace_id": true, "dpl.core.foreign_operation.span_id": true,
	"dpl.core.foreign_operation.processor": true,
}

// In these members a name of the standard may be nested (LDV-N2); and these are the names that matter here by their
// letters, in which all spellings of them are alike.
var (
	containers = map[string]bool{"dpl": true, "dpl.core": true}
	byLetters  = map[string]string{
		lettersAndDigits(activityName): activityName,
		lettersAndDigits(subjectName):  subjectName,
		lettersAndDigits(typeName):     typeName,
	}
)

// isSubject tells whether an attribute says whom a span is about, however its name is spelled.
func isSubject(name string) bool {
	return strings.HasPrefix(lettersAndDigits(name), "dplcoredatasubject")
}

// canonical returns attributes with the names of the standard as this project writes them, out of their containers.
func canonical(attributes []pair) []pair {
	var all []pair
	for _, one := range attributes {
		if containers[one.name] && one.value.Type() == pcommon.ValueTypeMap {
			var members []pair
			for _, member := range listed(one.value.Map()) {
				members = append(members, pair{one.name + "." + member.name, member.value})
			}
			all = append(all, canonical(members)...)
			continue
		}
		if strings.HasPrefix(one.name, "dpl.") {
			if name, ok := byLetters[lettersAndDigits(one.name)]; ok {
				one.name = name
			}
		}
		all = append(all, one)
	}
	return all
}

// subjects are what one span says of people.
type subjects struct {
	people []person
	known  []identifier // raw ones, to be searched for
	// The id of the key with which an SDK made the only pseudonym here.
	madeWith string
}

// subjectsIn reads the people in a span's attributes. Of several types each goes with the person at its place.
func subjectsIn(attributes []pair, secret []byte, keyID string) subjects {
	var values []pcommon.Value
	var kinds []string
	foreignKey := ""
	for _, one := range attributes {
		switch one.name {
		case subjectName:
			values = append(values, one.value)
		case typeName:
			kinds = append(kinds, asText(one.value))
		case keyName:
			foreignKey = asText(one.value)
		}
	}
	var found subjects
	for place, value := range values {
		kind := ""
		if len(kinds) > 0 {
			kind = kinds[min(place, len(kinds)-1)]
		}
		each, guessed := peopleIn(value, kind, 0)
		for _, one := range each {
			if foreignKey != "" && one.Type() == pcommon.ValueTypeStr && pseudonymForm.MatchString(one.Str()) {
				found.madeWith = foreignKey
				found.people = append(found.people, person{pseudonym: one.Str(), keyID: foreignKey, kind: kind})
				continue
			}
			found.people = append(found.people, personOf(secret, keyID, one, kind, guessed))
			found.known = append(found.known, identifiersIn(one, kind, 0)...)
		}
		if len(each) == 0 {
			kind, flags := normalType(kind)
			found.people = append(found.people, person{kind: kind, flags: append(flags, flagEmpty)})
		}
	}
	found.people = eachOnce(found.people)
	return found
}

// identifiersIn returns the texts by which somebody is known in a value.
func identifiersIn(value pcommon.Value, kind string, depth int) []identifier {
	if depth > maxDepth {
		return nil
	}
	var found []identifier
	switch value.Type() {
	case pcommon.ValueTypeSlice:
		for at := range value.Slice().Len() {
			found = append(found, identifiersIn(value.Slice().At(at), kind, depth+1)...)
		}
	case pcommon.ValueTypeMap:
		for _, member := range value.Map().All() {
			found = append(found, identifiersIn(member, kind, depth+1)...)
		}
	default:
		if text, _ := textOf(value); text != "" {
			found = append(found, identifier{text, kind})
		}
	}
	return found
}

// eachOnce leaves out who was named before, and of nobody what is odd: the first person takes those flags.
func eachOnce(people []person) []person {
	if len(people) < 2 {
		return people
	}
	type key struct{ pseudonym, kind string }
	seen := map[key]bool{}
	var unique []person
	var odd []string
	for _, one := range people {
		if one.pseudonym == "" {
			odd = append(odd, one.flags...)
			continue
		}
		if !seen[key{one.pseudonym, one.kind}] {
			seen[key{one.pseudonym, one.kind}] = true
			unique = append(unique, one)
		}
	}
	if len(unique) == 0 {
		unique = people[:1:1]
	}
	unique[0].flags = append(unique[0].flags, odd...)
	return unique
}

// maxElsewhere bounds them: what stands on a resource is searched for in each of its traces.
const maxElsewhere = 64

// elsewhere returns the identifiers that stand where no subject is logged from: resource, events and links.
func elsewhere(maps ...pcommon.Map) []identifier {
	var found []identifier
	for _, one := range maps {
		for name, value := range one.All() {
			if isSubject(name) && lettersAndDigits(name) != lettersAndDigits(typeName) {
				found = append(found, identifiersIn(value, "", 0)...)
			}
		}
	}
	return found[:min(len(found), maxElsewhere)]
}

func besides(span ptrace.Span) []pcommon.Map {
	var maps []pcommon.Map
	for at := range span.Events().Len() {
		maps = append(maps, span.Events().At(at).Attributes())
	}
	for at := range span.Links().Len() {
		maps = append(maps, span.Links().At(at).Attributes())
	}
	return maps
}

// traces knows everybody who is named in the spans of each trace that came together.
type traces struct {
	budget    int // of all searches; see maxSearch
	known     map[pcommon.TraceID]map[identifier]bool
	searchers map[pcommon.TraceID]*searcher
}

func newTraces() *traces {
	return &traces{maxSearch, map[pcommon.TraceID]map[identifier]bool{}, map[pcommon.TraceID]*searcher{}}
}

func (t *traces) add(trace pcommon.TraceID, known []identifier) {
	if len(known) == 0 {
		return
	}
	if t.known[trace] == nil {
		t.known[trace] = map[identifier]bool{}
	}
	for _, one := range known {
		t.known[trace][one] = true
	}
}

// cleanShared takes out of attributes that several traces share whoever is known in one of those, and returns in which.
// Where that would cost too much, all of it goes, and all traces are returned.
func (t *traces) cleanShared(attributes pcommon.Map, of map[pcommon.TraceID]bool) map[pcommon.TraceID]bool {
	var all strings.Builder
	for name, value := range attributes.All() {
		if isDeeper(value, maxDepth) {
			value.SetStr("\u2026")
		}
		all.WriteString(name + "\n" + asText(value) + "\n")
	}
	text := all.String()
	if len(text)*len(of) > t.budget {
		pcommon.NewMap().MoveTo(attributes)
		return of
	}
	found := map[pcommon.TraceID]bool{}
	for trace := range of {
		if search := t.searcher(trace); search.finds(text) {
			clean := &cleaner{around: search, flags: map[string]bool{}}
			clean.all(attributes)
			if clean.flags[flagRedacted] {
				found[trace] = true
			}
		}
	}
	return found
}

func (t *traces) searcher(trace pcommon.TraceID) *searcher {
	if found, made := t.searchers[trace]; made {
		return found
	}
	var known []identifier
	for one := range t.known[trace] {
		known = append(known, one)
	}
	t.searchers[trace] = newSearcher(known, false, &t.budget)
	return t.searchers[trace]
}
