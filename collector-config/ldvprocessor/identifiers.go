package ldvprocessor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"golang.org/x/text/unicode/norm"
)

// What an application names as a data subject becomes one text for each person, exactly as in
// ldv_otel._internal.privacy.identifiers and .pseudonyms; testdata/vectors.json holds both to it.

// Flags of a record, as ldv_otel.attributes.Flag has them.
const (
	flagEmpty           = "subject_empty"
	flagForm            = "subject_form"
	flagTypeMissing     = "subject_type_missing"
	flagTypeUnknown     = "subject_type_unknown"
	flagRedacted        = "subject_redacted"
	flagStray           = "stray_bsn"
	flagCut             = "value_cut"
	flagForeignID       = "foreign_id_malformed"
	flagUnknownActivity = "activity_unknown"
	flagFailed          = "record_failed"
)

// How many digits an identifier of a type has: separators go, leading zeros come back.
var digitsOf = map[string]int{
	"BSN": 9, "RSIN": 9, "KVK": 8, "vestigingsnummer": 12, "OIN": 20, "A-nummer": 10,
}

// Types in their own spelling, by their folded one.
var knownTypes = func() map[string]string {
	known := map[string]string{"personeelsnummer": "personeelsnummer"}
	for name := range digitsOf {
		known[strings.ToLower(name)] = name
	}
	return known
}()

func isKnownType(kind string) bool { return kind == "" || knownTypes[strings.ToLower(kind)] == kind }

var (
	missingTexts   = []string{"<NA>", "NaT", "REDACTED", "[REDACTED]"}
	missingNumbers = []string{"nan", "none", "null", "na", "n/a", "nil", "undefined", "-"}
	hidden         = regexp.MustCompile(`\A(?:[\pL\pN_]{1,40}\()?b?['"]?[*\x{2022}\x{25cf}\x{2588}]{3,}['"]?\)?\z`)
	decimalForm    = regexp.MustCompile(`\A([0-9]+)([.,])([0-9]+)\z`)
	exponentForm   = regexp.MustCompile(`\A([0-9]+)(?:[.,]([0-9]*))?[eE]\+?([0-9]{1,3})\z`)
	likeANumber    = regexp.MustCompile(`\p{Nd}(?:[ .]?\p{Nd}){4}`)
	uriForm        = regexp.MustCompile(`\A[A-Za-z][A-Za-z0-9+.-]*:[^\s\p{Z}\x0b\x1c-\x1f\x{85}]+\z`)
	pseudonymForm  = regexp.MustCompile(`\A[0-9a-f]{32}\z`)
)

const (
	pseudonymBytes = 16
	// Below this a float counts every whole number.
	countsBelow = 1 << 53
	thousands   = 3
	// How deep a value may lie in lists and mappings.
	maxDepth = 64
	// OpenTelemetry makes a list of a bytearray; fewer of them may well be people.
	bytesMin = 5
)

// person is a data subject as a record may know it.
type person struct {
	pseudonym string // 32 hexadecimal digits; empty when there is no usable identifier
	keyID     string
	kind      string // the normalised type
	flags     []string
}

// identifier is one as it was given, with its type: what is searched for in texts.
type identifier struct{ text, kind string }

// pseudonymOf returns what the SDK makes of a normalised identifier with the same key.
func pseudonymOf(secret []byte, kind, normal string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("ldv/v1|" + kind + "|" + normal))
	return hex.EncodeToString(mac.Sum(nil)[:pseudonymBytes])
}

// normalType returns the type as it is stored and hashed: known types in their own spelling, others as given.
func normalType(text string) (string, []string) {
	text = strings.TrimFunc(text, isSpace)
	if text == "" {
		return "", []string{flagTypeMissing}
	}
	if known, ok := knownTypes[folder.String(text)]; ok {
		return known, nil
	}
	if uriForm.MatchString(text) {
		return text, nil
	}
	if likeANumber.MatchString(text) {
		// Most likely the identifier, put in the wrong place: it is not stored.
		text = ""
	}
	return text, []string{flagTypeUnknown}
}

// personOf returns the data subject in one value, which is no list.
func personOf(secret []byte, keyID string, value pcommon.Value, kind string, guessed bool) person {
	kind, flags := normalType(kind)
	text, odd := textOf(value)
	normal, more := "", odd
	if text != "" {
		normal, more = readIdentifier(text, digitsOf[kind])
		if normal != "" || !slices.Contains(more, flagEmpty) {
			more = append(more, odd...)
		}
	} else if len(odd) == 0 {
		more = []string{flagEmpty}
	}
	if guessed && normal != "" {
		more = append(more, flagForm)
	}
	found := person{kind: kind, flags: append(flags, more...)}
	if normal != "" {
		found.pseudonym, found.keyID = pseudonymOf(secret, kind, normal), keyID
	}
	return found
}

// textOf returns the identifier in an attribute's value as text, and what was odd about it.
func textOf(value pcommon.Value) (string, []string) {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		return value.Str(), nil
	case pcommon.ValueTypeInt:
		return strconv.FormatInt(value.Int(), 10), nil
	case pcommon.ValueTypeDouble:
		return textOfDouble(value.Double())
	case pcommon.ValueTypeBytes:
		return textOfBytes(value.Bytes().AsRaw())
	case pcommon.ValueTypeMap:
		if value.Map().Len() == 0 {
			return "", nil
		}
		if isDeeper(value, maxDepth) {
			return "", []string{flagForm, flagCut}
		}
		return value.AsString(), []string{flagForm}
	default: // nothing, and booleans, which are nobody
		return "", nil
	}
}

func textOfDouble(number float64) (string, []string) {
	switch {
	case math.IsNaN(number) || math.IsInf(number, 0):
		return "", nil
	case number != math.Trunc(number):
		return pythonFloat(number), []string{flagForm}
	case math.Abs(number) >= countsBelow:
		// It stands for several whole numbers: whose it was cannot be known any more.
		return "", []string{flagForm, flagCut}
	default:
		return strconv.FormatInt(int64(number), 10), nil
	}
}

// pythonFloat writes a fraction as the SDK does.
func pythonFloat(number float64) string {
	if size := math.Abs(number); size >= 1e-4 && size < 1e16 {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return strconv.FormatFloat(number, 'e', -1, 64)
}

func textOfBytes(raw []byte) (string, []string) {
	if len(raw) >= 2 && (raw[0] == 0xff && raw[1] == 0xfe || raw[0] == 0xfe && raw[1] == 0xff) {
		little := raw[0] == 0xff
		var units []uint16
		for at := 2; at+1 < len(raw); at += 2 {
			low, high := raw[at], raw[at+1]
			if !little {
				low, high = high, low
			}
			units = append(units, uint16(low)|uint16(high)<<8)
		}
		return string(utf16.Decode(units)), nil
	}
	if utf8.Valid(raw) {
		return string(raw), nil
	}
	return string([]rune(string(raw))), []string{flagForm}
}

// peopleIn returns the values in an attribute that each name somebody (LDV-A4): a list is several people. One in a list
// of its own was guessed.
func peopleIn(value pcommon.Value, kind string, depth int) (values []pcommon.Value, guessed bool) {
	if value.Type() != pcommon.ValueTypeSlice || depth > maxDepth {
		return []pcommon.Value{value}, depth > 1
	}
	list := value.Slice()
	if text, ok := digitsInBytes(list, kind); ok {
		return []pcommon.Value{pcommon.NewValueStr(text)}, true
	}
	for at := range list.Len() {
		more, again := peopleIn(list.At(at), kind, depth+1)
		values, guessed = append(values, more...), guessed || again
	}
	return values, guessed
}

// digitsInBytes returns the number in a list of the bytes of its digits.
func digitsInBytes(list pcommon.Slice, kind string) (string, bool) {
	if list.Len() < bytesMin {
		return "", false
	}
	text := make([]byte, 0, list.Len())
	different := map[byte]bool{}
	for at := range list.Len() {
		item := list.At(at)
		if item.Type() != pcommon.ValueTypeInt || item.Int() < '0' || item.Int() > '9' {
			return "", false
		}
		text = append(text, byte(item.Int()))
		different[byte(item.Int())] = true
	}
	kind, _ = normalType(kind)
	return string(text), digitsOf[kind] > 0 || len(different) < len(text)
}

// readIdentifier returns an identifier as it is hashed, and what was odd about it. Width is how many digits one of its
// type has, 0 where it may be any text.
func readIdentifier(text string, width int) (string, []string) {
	if isDigits(text) && (width == 0 || len(text) == width && !isZeros(text)) {
		// Nearly always: nothing to look at.
		return text, nil
	}
	if !isASCII(text) {
		text = norm.NFC.String(visible(text))
	}
	text = strings.TrimFunc(text, isSpace)
	if text == "" || slices.Contains(missingTexts, text) || hidden.MatchString(text) {
		return "", []string{flagEmpty}
	}
	var flags []string
	shown := strings.TrimFunc(strings.Map(withoutControls, text), isSpace)
	if shown != text {
		text, flags = shown, []string{flagForm}
	}
	if text == "" || width > 0 && isMissingNumber(text) {
		return "", []string{flagEmpty}
	}
	if width == 0 {
		return readAny(text, flags)
	}
	number, more := readNumber(text, width)
	if number != "" && strings.Trim(number, "0") == "" {
		// A gap that was filled with zero; nobody has this number.
		return "", []string{flagEmpty}
	}
	return number, append(flags, more...)
}

func withoutControls(character rune) rune {
	if unicode.Is(unicode.Cc, character) {
		return -1
	}
	return character
}

func isMissingNumber(text string) bool {
	return len(text) <= 32 && slices.Contains(missingNumbers, folder.String(text))
}

// visible returns a text without what shows nothing, in the characters of ASCII where it has others for them.
func visible(text string) string {
	return strings.Map(func(character rune) rune {
		switch {
		case character >= 0xff01 && character <= 0xff5e:
			return character - 0xfee0
		case unicode.Is(unicode.Cf, character), isInvisible(character):
			return -1
		}
		if digit, ok := decimalOf(character); ok {
			return rune(digit)
		}
		return character
	}, text)
}

// isInvisible tells joiners, fillers and variation selectors, which have another category than Cf.
func isInvisible(character rune) bool {
	switch character {
	case 0x34f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x3164, 0xffa0:
		return true
	}
	return character >= 0xfe00 && character <= 0xfe0f
}

// readAny returns an identifier of a type that may be any text; a dot may well tell two people apart here.
func readAny(text string, flags []string) (string, []string) {
	if parts := decimalForm.FindStringSubmatch(text); parts != nil && parts[2] == "." && isZeros(parts[3]) {
		return parts[1], flags
	}
	if isMissingNumber(text) {
		flags = append(flags, flagForm)
	}
	return text, flags
}

// readNumber returns a number of a known kind with all its digits, or the text as it is where it cannot be one.
func readNumber(text string, width int) (string, []string) {
	if isDigits(text) {
		return ofWidth(text, width, text, nil)
	}
	if parts := decimalForm.FindStringSubmatch(text); parts != nil {
		return readDecimal(parts, width, text)
	}
	if parts := exponentForm.FindStringSubmatch(text); parts != nil {
		return readExponent(parts, width, text)
	}
	digits := strings.Map(func(character rune) rune {
		if character == '.' || isSpace(character) {
			return -1
		}
		return character
	}, text)
	if isDigits(digits) {
		return ofWidth(digits, width, text, nil)
	}
	digits = strings.Map(func(character rune) rune {
		if unicode.IsLetter(character) || unicode.IsNumber(character) {
			return character
		}
		return -1
	}, text)
	// A minus sign is no separator.
	if isDigits(digits) && text[0] >= '0' && text[0] <= '9' {
		return ofWidth(digits, width, text, []string{flagForm})
	}
	return text, []string{flagForm}
}

// readDecimal returns the number in digits with one dot or comma, which stands for decimals or for thousands.
func readDecimal(parts []string, width int, text string) (string, []string) {
	whole, mark, fraction := parts[1], parts[2], parts[3]
	zeros := isZeros(fraction)
	if len(fraction) >= thousands && (!zeros || len(whole)+len(fraction) == width) {
		return ofWidth(whole+fraction, width, text, []string{flagForm})
	}
	if !zeros {
		return text, []string{flagForm}
	}
	if mark == "." {
		return ofWidth(whole, width, text, nil)
	}
	return ofWidth(whole, width, text, []string{flagForm})
}

func readExponent(parts []string, width int, text string) (string, []string) {
	whole, fraction := parts[1], parts[2]
	power, _ := strconv.Atoi(parts[3])
	if power > len(fraction) {
		// A spreadsheet left digits out: 1.23E+08 is nobody's number.
		return "", []string{flagForm, flagCut}
	}
	if !isZeros(fraction[power:]) {
		return text, []string{flagForm}
	}
	return ofWidth(whole+fraction[:power], width, text, []string{flagForm})
}

// ofWidth returns digits with the leading zeros that a number of this kind has; what is longer is no such number.
func ofWidth(digits string, width int, text string, flags []string) (string, []string) {
	if len(digits) > width {
		digits, flags = strings.TrimLeft(digits, "0"), []string{flagForm}
		if len(digits) > width {
			return text, flags
		}
	}
	return strings.Repeat("0", width-len(digits)) + digits, flags
}

// passesElevenTest tells whether nine digits are what a BSN or RSIN can be; nobody has zeros only.
func passesElevenTest(digits string) bool {
	if len(digits) != bsnDigits || !isDigits(digits) {
		return false
	}
	total := -int(digits[8] - '0')
	for at, weight := 0, 9; at < 8; at, weight = at+1, weight-1 {
		total += weight * int(digits[at]-'0')
	}
	return total%11 == 0 && total != 0
}

func isZeros(text string) bool { return strings.Trim(text, "0") == "" }

func isDigits(text string) bool {
	for at := range len(text) {
		if text[at] < '0' || text[at] > '9' {
			return false
		}
	}
	return text != ""
}

func isASCII(text string) bool {
	for at := range len(text) {
		if text[at] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
