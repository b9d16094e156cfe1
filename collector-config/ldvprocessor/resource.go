package ldvprocessor

import (
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// What the Logboek keeps of a resource (LDV-N8): what names a system, application or component. The same rule as
// ldv_otel._internal.record.resource_choice; testdata/vectors.json holds both to it.

const (
	leftOutName  = "ldv.left_out"
	nameNotShown = "(a name that is not shown)"
	moreNames    = "(more names)"
	maxLeftOut   = 100
	// A name with fewer digits holds no number of a person.
	maxDigits = 5
)

var (
	neverKept = regexp.MustCompile(`(?i)\A(?:process[._](?:command|title|owner|user|real_user|saved_user|environment|` +
		`executable[._]path|working_directory)|dpl[^a-z]*core[^a-z]*data[^a-z]*subject)`)
	suspectName  = regexp.MustCompile(`(?i)owner|user|mail|passw|secret|token|credential|command`)
	resourceForm = regexp.MustCompile(`\A[A-Za-z0-9_/-][A-Za-z0-9_./-]{0,255}[*]?\z`)
	shownName    = regexp.MustCompile(`\A[A-Za-z0-9_./-]{1,96}\z`)
	keptPrefixes = []string{"service.", "deployment.", "process.", "cmdb.", "nen7513.", "dpl."}
)

// resourceChoice is what is kept beside the usual (LDV_RESOURCE_ATTRIBUTES).
type resourceChoice struct {
	names    map[string]bool
	prefixes []string
}

func newResourceChoice(further string) *resourceChoice {
	choice := &resourceChoice{map[string]bool{"host.name": true}, slices.Clone(keptPrefixes)}
	for name := range namesIn(further) {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			choice.prefixes = append(choice.prefixes, prefix)
		} else {
			choice.names[name] = true
		}
	}
	return choice
}

func (c *resourceChoice) keeps(name string) bool {
	return !neverKept.MatchString(name) &&
		(c.names[name] || hasPrefix(name, c.prefixes...) && !suspectName.MatchString(name))
}

// apply takes out what is not kept, and notes the names of that in the resource, be it none: so the Logboek sees that it
// was chosen here.
func (c *resourceChoice) apply(attributes pcommon.Map) {
	names := map[string]bool{}
	attributes.RemoveIf(func(name string, _ pcommon.Value) bool {
		if c.keeps(name) {
			return false
		}
		if name != leftOutName && !strings.HasPrefix(name, "telemetry.") {
			if !shownName.MatchString(name) || len(digits.FindAllString(name, maxDigits)) == maxDigits {
				name = nameNotShown
			}
			names[name] = true
		}
		return true
	})
	leftOut := make([]string, 0, len(names))
	for name := range names {
		leftOut = append(leftOut, name)
	}
	slices.Sort(leftOut)
	if len(leftOut) > maxLeftOut {
		leftOut = append(leftOut[:maxLeftOut], moreNames)
	}
	attributes.PutStr(leftOutName, strings.Join(leftOut, ","))
}

var digits = regexp.MustCompile(`[0-9]`)
