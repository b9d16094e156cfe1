package ldvprocessor

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// What the SDK makes of identifiers and texts; tests/privacy/test_collector_vectors.py holds the SDK to the same file.
type vectors struct {
	KeyID  string `json:"key_id"`
	Secret string
	People []struct {
		Value      map[string]any
		Type       string
		Pseudonym  string
		StoredType string `json:"stored_type"`
		Flags      []string
	}
	Quotes []struct{ Identifier, Type, Text, Redacted string }
	Stray  []struct{ Text, Masked string }
	// What is kept of a resource, with LDV_RESOURCE_ATTRIBUTES, and what it says about the rest.
	Resources []struct {
		Further       string
		Kept, Removed []string
		LeftOut       string `json:"left_out"`
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var found vectors
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.People) == 0 || len(found.Quotes) == 0 || len(found.Stray) == 0 || len(found.Resources) == 0 {
		t.Fatal("there are no vectors")
	}
	return found
}

func valueOf(t *testing.T, given map[string]any) pcommon.Value {
	t.Helper()
	for kind, one := range given {
		text, _ := one.(string)
		switch kind {
		case "text":
			return pcommon.NewValueStr(text)
		case "int":
			number, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return pcommon.NewValueInt(number)
		case "double":
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return pcommon.NewValueDouble(number)
		case "bytes":
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			value := pcommon.NewValueBytes()
			value.Bytes().FromRaw(raw)
			return value
		case "bool":
			return pcommon.NewValueBool(one == true)
		}
	}
	return pcommon.NewValueEmpty()
}

// One key gives one pseudonym for a person, whether the SDK or the Collector made it.
func TestPeopleAreThoseOfTheSDK(t *testing.T) {
	given := readVectors(t)
	for _, one := range given.People {
		found := personOf([]byte(given.Secret), given.KeyID, valueOf(t, one.Value), one.Type, false)
		flags := slices.Clone(found.flags)
		slices.Sort(flags)
		flags = slices.Compact(flags)
		if found.pseudonym != one.Pseudonym || found.kind != one.StoredType || !slices.Equal(flags, one.Flags) {
			t.Errorf("%q of type %q is %q of type %q, %v, and for the SDK %q of type %q, %v", one.Value, one.Type,
				found.pseudonym, found.kind, flags, one.Pseudonym, one.StoredType, one.Flags)
		}
	}
}

// A known identifier is found in the spellings in which the SDK finds it, and nothing else goes.
func TestQuotesAreRedactedAsByTheSDK(t *testing.T) {
	for _, one := range readVectors(t).Quotes {
		known := []identifier{{one.Identifier, one.Type}}
		found := newSearcher(known, true, unlimited()).replaced(newSearcher(known, false, unlimited()).replaced(one.Text))
		if found != one.Redacted {
			t.Errorf("%q in %q gives %q, and for the SDK %q", one.Identifier, one.Text, found, one.Redacted)
		}
	}
}

// A BSN that nobody named is found as by the SDK (LDV-N14).
func TestStrayNumbersAreMaskedAsByTheSDK(t *testing.T) {
	for _, one := range readVectors(t).Stray {
		if found := withoutStray(one.Text); found != one.Masked {
			t.Errorf("%q gives %q, and for the SDK %q", one.Text, found, one.Masked)
		}
	}
}

// A resource keeps what names a system, and says what it does not keep, whether the SDK or the Collector chose.
func TestResourcesAreThoseOfTheSDK(t *testing.T) {
	for _, one := range readVectors(t).Resources {
		attributes := pcommon.NewMap()
		for _, name := range append(slices.Clone(one.Removed), one.Kept...) {
			attributes.PutStr(name, "x")
		}
		newResourceChoice(one.Further).apply(attributes)
		leftOut, _ := attributes.Get(leftOutName)
		if leftOut.Str() != one.LeftOut {
			t.Errorf("left out\n%s\nand not\n%s", leftOut.Str(), one.LeftOut)
		}
		attributes.Remove(leftOutName)
		var kept []string
		for name := range attributes.All() {
			kept = append(kept, name)
		}
		slices.Sort(kept)
		wanted := slices.Sorted(slices.Values(one.Kept))
		if !slices.Equal(kept, wanted) {
			t.Errorf("kept %v and not %v", kept, wanted)
		}
	}
}
