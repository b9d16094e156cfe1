package ldvprocessor

import (
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// cleaner takes what is known of people out of the texts of one span, and notes what it did.
type cleaner struct {
	around *searcher // everybody known in the trace, in five characters or more
	own    *searcher // the span's own people, where they have fewer
	stray  bool      // BSNs that nobody named are looked for,
	masks  bool      // and replaced
	exempt map[string]bool
	flags  map[string]bool
}

func (c *cleaner) flag(names ...string) {
	for _, name := range names {
		if name != "" {
			c.flags[name] = true
		}
	}
}

// text returns a text as it may be stored; name is the attribute that it stands in.
func (c *cleaner) text(text, name string) string {
	// The long ones first: a short one may be a part of one.
	return c.withoutStray(c.replaced(c.own, c.replaced(c.around, text)), name)
}

// label does the same with a text that names something of an organisation, in which a short number is nobody's.
func (c *cleaner) label(text, name string) string {
	return c.withoutStray(c.replaced(c.around, text), name)
}

func (c *cleaner) withoutStray(text, name string) string {
	if !c.stray || c.exempt[name] {
		return text
	}
	masked := withoutStray(text)
	if masked == text {
		return text
	}
	c.flag(flagStray)
	if !c.masks {
		return text
	}
	return masked
}

func (c *cleaner) replaced(search *searcher, text string) string {
	found := search.replaced(text)
	if found != text {
		c.flag(flagRedacted)
	}
	return found
}

// value cleans an attribute's value of any type, in its place.
func (c *cleaner) value(value pcommon.Value, name string) {
	c.inside(value, name, 0)
	if kind := value.Type(); kind != pcommon.ValueTypeSlice && kind != pcommon.ValueTypeMap {
		return
	}
	if text := asText(value); !c.around.finds(text) && !c.own.finds(text) {
		return
	}
	// It stands in no element, and over several of them.
	c.flag(flagRedacted)
	if value.Type() == pcommon.ValueTypeSlice {
		value.SetEmptySlice().AppendEmpty().SetStr(redactedWord)
	} else {
		value.SetEmptyMap().PutStr(redactedWord, redactedWord)
	}
}

func (c *cleaner) inside(value pcommon.Value, name string, depth int) {
	if depth > maxDepth {
		c.flag(flagCut)
		value.SetStr("\u2026")
		return
	}
	switch value.Type() {
	case pcommon.ValueTypeStr:
		if text := value.Str(); text != "" {
			if cleaned := c.text(text, name); cleaned != text {
				value.SetStr(cleaned)
			}
		}
	case pcommon.ValueTypeInt:
		c.number(value, name, c.around.findsNumber(0, value.Int(), true), isStrayInteger(value.Int()))
	case pcommon.ValueTypeDouble:
		c.number(value, name, c.around.findsNumber(value.Double(), 0, false), isStrayDouble(value.Double()))
	case pcommon.ValueTypeBytes:
		text, _ := textOfBytes(value.Bytes().AsRaw())
		if cleaned := c.text(text, name); cleaned != text {
			value.SetStr(redactedWord)
		}
	case pcommon.ValueTypeSlice:
		for at := range value.Slice().Len() {
			c.inside(value.Slice().At(at), name, depth+1)
		}
	case pcommon.ValueTypeMap:
		members := listed(value.Map())
		value.SetEmptyMap()
		for _, one := range members {
			c.inside(one.value, name, depth+1)
			one.value.MoveTo(put(value.Map(), c.label(one.name, name)))
		}
	}
}

// all cleans attributes with their names, as labels: a short number is nobody's here.
func (c *cleaner) all(attributes pcommon.Map) {
	given := listed(attributes)
	pcommon.NewMap().MoveTo(attributes)
	for _, one := range given {
		c.value(one.value, one.name)
		one.value.MoveTo(put(attributes, c.label(one.name, one.name)))
	}
}

// number replaces a number that is an identifier.
func (c *cleaner) number(value pcommon.Value, name string, known, stray bool) {
	if known {
		c.flag(flagRedacted)
		value.SetStr(redactedWord)
	} else if stray && c.stray && !c.exempt[name] {
		c.flag(flagStray)
		if c.masks {
			value.SetStr(mask)
		}
	}
}

// pair is an attribute: a span may have several of one name.
type pair struct {
	name  string
	value pcommon.Value
}

// asText returns a value as text; of one that is deeper than anybody writes nothing, because to write it out recurses.
func asText(value pcommon.Value) string {
	if isDeeper(value, maxDepth) {
		return ""
	}
	return value.AsString()
}

func isDeeper(value pcommon.Value, levels int) bool {
	if levels < 0 {
		return true
	}
	switch value.Type() {
	case pcommon.ValueTypeSlice:
		for at := range value.Slice().Len() {
			if isDeeper(value.Slice().At(at), levels-1) {
				return true
			}
		}
	case pcommon.ValueTypeMap:
		for _, member := range value.Map().All() {
			if isDeeper(member, levels-1) {
				return true
			}
		}
	}
	return false
}

// listed takes all attributes out of a map, those of one name too.
func listed(attributes pcommon.Map) []pair {
	all := make([]pair, 0, attributes.Len())
	for name, value := range attributes.All() {
		taken := pcommon.NewValueEmpty()
		value.MoveTo(taken)
		all = append(all, pair{name, taken})
	}
	return all
}

// put adds an attribute, beside those of that name: two may differ in the identifier alone, and neither value may take
// the place of the other.
func put(attributes pcommon.Map, name string) pcommon.Value {
	for {
		if _, taken := attributes.Get(name); !taken {
			return attributes.PutEmpty(name)
		}
		name += "_"
	}
}

// sortedFlags returns what was noted, as records have it.
func sortedFlags(flags map[string]bool) string {
	names := slices.DeleteFunc(keysOf(flags), func(name string) bool { return !flags[name] })
	return strings.Join(names, ",")
}

// namesIn returns the names in a setting that lists them with commas.
func namesIn(setting string) map[string]bool {
	names := map[string]bool{}
	for _, name := range strings.Split(setting, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names[name] = true
		}
	}
	return names
}

func hasPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}
