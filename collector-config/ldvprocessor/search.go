package ldvprocessor

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Where known identifiers stand in texts, in the forms of ldv_otel._internal.privacy.identifier_forms: numbers by their
// digits without leading zeros, codes by letters and digits, other texts with their marks; short ones where they stand
// alone.

const (
	redactedWord = "REDACTED"
	// Identifiers of fewer characters say nothing inside a text.
	shortBelow = 5
	// A text that ends in so many first digits of a known number may have been cut there.
	cutDigits = 6
	// Of more identifiers than this, the parts of a text are looked up among them.
	scanned = 16
	// What all searches for one request may cost, in bytes of text times different lengths of what is searched for: some
	// seconds, and a hundred times what ordinary ones take. Beyond it every text goes whole.
	maxSearch    = 1 << 28
	hashedAtOnce = 32
	// What stands before a number may be one too: of so many groups of digits each may be its beginning.
	maxGroups = 5
)

var token = regexp.MustCompile(`[^\s\p{Z}\x0b\x1c-\x1f\x{85}/?&=#;,"'<>()\[\]{}|:]+`)

// span is a place in a text: its first byte and the one after its last.
type span = [2]int

// searcher finds some identifiers in texts. Nil finds nothing.
type searcher struct {
	numbers map[string]bool
	cut     map[string]bool
	cutLens []int
	codes   needles
	texts   needles
	short   []string
	// A number with zeros at its end may be written with an exponent.
	exponents bool
	// All are numbers, which stand in no text without a digit.
	onlyDigits bool
	budget     *int
}

// newSearcher returns a searcher for those of the identifiers that have five characters or more, or for the shorter
// ones.
func newSearcher(identifiers []identifier, short bool, budget *int) *searcher {
	found := &searcher{numbers: map[string]bool{}, cut: map[string]bool{}, onlyDigits: true, budget: budget}
	codes, texts, alone := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, one := range identifiers {
		for _, spelling := range spellingsOf(one) {
			code, text := lettersAndDigits(spelling), strings.TrimSpace(wholeText(spelling))
			digits := strings.TrimLeft(code, "0")
			switch {
			case text == "" && code == "":
			case isDigits(code) && len(digits) >= shortBelow:
				found.numbers[digits], codes[digits] = true, true
				found.exponents = found.exponents || strings.HasSuffix(digits, "0")
				for length := cutDigits; length < len(digits); length++ {
					found.cut[digits[:length]] = true
				}
			case strings.ContainsAny(code, "0123456789") && utf8.RuneCountInString(code) >= shortBelow:
				codes[code], found.onlyDigits = true, false
			case utf8.RuneCountInString(text) >= shortBelow:
				texts[text], found.onlyDigits = true, false
			default:
				alone[text], found.onlyDigits = true, false
			}
		}
	}
	if short {
		if len(alone) == 0 {
			return nil
		}
		return &searcher{short: keysOf(alone), budget: budget}
	}
	if len(codes)+len(texts) == 0 {
		return nil
	}
	lengths := map[int]bool{}
	for beginning := range found.cut {
		lengths[len(beginning)] = true
	}
	for length := range lengths {
		found.cutLens = append(found.cutLens, length)
	}
	slices.SortFunc(found.cutLens, func(a, b int) int { return b - a })
	found.codes, found.texts = newNeedles(keysOf(codes)), newNeedles(keysOf(texts))
	found.onlyDigits = found.onlyDigits || len(texts) == 0 && len(alone) == 0 && len(codes) == len(found.numbers)
	return found
}

// spellingsOf returns an identifier as it came, decoded, and normalised with its type and without.
func spellingsOf(one identifier) []string {
	if isDigits(one.text) && len(strings.TrimLeft(one.text, "0")) >= shortBelow {
		return []string{one.text}
	}
	kind, _ := normalType(one.kind)
	plain, _ := readIdentifier(one.text, 0)
	typed, _ := readIdentifier(one.text, digitsOf[kind])
	spellings := []string{plain, typed}
	if texts, ok := decoded(one.text); ok {
		for _, text := range texts {
			plain, _ = readIdentifier(text, 0)
			spellings = append(spellings, text, plain)
		}
	}
	slices.Sort(spellings)
	return slices.DeleteFunc(slices.Compact(spellings), func(text string) bool { return text == "" })
}

func keysOf(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// finds tells whether an identifier stands in a text, as it is or decoded.
func (s *searcher) finds(text string) bool {
	if s == nil || text == "" || text == redactedWord || s.onlyDigits && !mayHoldDigit(text) {
		return false
	}
	*s.budget -= s.cost() * len(text)
	if *s.budget < 0 {
		return true
	}
	texts, known := decoded(text)
	return !known || slices.ContainsFunc(texts, s.isIn)
}

// findsNumber tells whether an identifier stands in a number, which nobody cut or encoded.
func (s *searcher) findsNumber(number float64, integer int64, isInteger bool) bool {
	if s == nil {
		return false
	}
	text := strconv.FormatInt(integer, 10)
	if !isInteger {
		text = numberText(number)
	}
	return len(text) >= shortBelow && s.codes.anyIn(lettersAndDigits(text))
}

// numberText returns a fraction as its digits, without an exponent as far as it has them.
func numberText(number float64) string {
	if math.Abs(number) >= 1e-4 && math.Abs(number) < 1e17 {
		text := strconv.FormatFloat(number, 'f', -1, 64)
		if number != math.Trunc(number) {
			// So many digits as any two floats differ in.
			text = strconv.FormatFloat(number, 'g', 17, 64)
		}
		return text
	}
	return strconv.FormatFloat(number, 'g', 17, 64)
}

// replaced returns a text without the identifiers: each is replaced, or the word around it where it is encoded.
func (s *searcher) replaced(text string) string {
	if !s.finds(text) {
		return text
	}
	if *s.budget < 0 {
		return redactedWord
	}
	return replacedIn(text, redactedWord, s.places, s.finds)
}

// replacedIn puts a word in the place of what was found, in the words around what is left, or in that of all.
func replacedIn(text, word string, places func(string) []span, finds func(string) bool) string {
	text = withWord(text, word, places(text))
	if finds(text) {
		text = token.ReplaceAllStringFunc(text, func(part string) string {
			if finds(part) {
				return word
			}
			return part
		})
	}
	if finds(text) {
		return word
	}
	return text
}

func withWord(text, word string, places []span) string {
	slices.SortFunc(places, func(a, b span) int { return a[0] - b[0] })
	var out strings.Builder
	position, end := 0, -1
	for _, place := range places {
		if place[0] > end {
			out.WriteString(text[position:place[0]])
			out.WriteString(word)
		}
		end = max(end, place[1])
		position = end
	}
	out.WriteString(text[position:])
	return out.String()
}

func (s *searcher) cost() int {
	return s.codes.cost() + s.texts.cost() + len(s.short) + 1
}

func (s *searcher) isIn(text string) bool {
	code := lettersAndDigits(text)
	if s.codes.anyIn(code) || s.cutAtEnd(code, text) > 0 {
		return true
	}
	if !s.exponents && len(s.texts.list) == 0 && len(s.short) == 0 {
		return false
	}
	whole := wholeText(text)
	if s.exponents && slices.ContainsFunc(writtenOut(whole), func(digits string) bool { return s.numbers[digits] }) {
		return true
	}
	return s.texts.anyIn(whole) || len(standingAlone(s.short, whole)) > 0
}

// cutAtEnd returns how many digits of a known number a text ends in; 0 for fewer than count.
func (s *searcher) cutAtEnd(code, text string) int {
	if len(s.cutLens) == 0 {
		return 0
	}
	if uncut := withoutCutEscape(text); uncut != text {
		code = lettersAndDigits(uncut)
	}
	for _, length := range s.cutLens {
		if len(code) >= length && s.cut[code[len(code)-length:]] {
			return length
		}
	}
	return 0
}

// places returns where in a text, as it is, identifiers stand.
func (s *searcher) places(text string) []span {
	var found []span
	code := fold(text, false, true)
	spans := s.codes.spansIn(code.text)
	if length := s.cutAtEnd(code.text, text); length > 0 {
		// What is left of an escape behind it goes too.
		uncut := len(lettersAndDigits(withoutCutEscape(text)))
		spans = append(spans, span{uncut - length, len(code.text)})
	}
	slices.SortFunc(spans, func(a, b span) int { return a[0] - b[0] })
	before := 0
	for _, one := range spans {
		first := one[0]
		for first > before && code.text[first-1] == '0' {
			first--
		}
		before = max(before, one[1])
		found = append(found, code.place(first, one[1]))
	}
	if len(s.texts.list) > 0 || len(s.short) > 0 {
		whole := fold(text, true, true)
		for _, one := range append(s.texts.spansIn(whole.text), standingAlone(s.short, whole.text)...) {
			found = append(found, whole.place(one[0], one[1]))
		}
	}
	return found
}

// needles are texts that are searched for in others.
type needles struct {
	list     []string
	byLength map[int]map[string]bool
}

func newNeedles(list []string) needles {
	made := needles{list: list}
	if len(list) > scanned {
		made.byLength = map[int]map[string]bool{}
		for _, one := range list {
			if made.byLength[len(one)] == nil {
				made.byLength[len(one)] = map[string]bool{}
			}
			made.byLength[len(one)][one] = true
		}
	}
	return made
}

func (n needles) cost() int {
	if n.byLength == nil {
		return len(n.list)
	}
	all := 0
	for length := range n.byLength {
		all += 1 + length/hashedAtOnce
	}
	return all
}

func (n needles) anyIn(text string) bool {
	if n.byLength == nil {
		return slices.ContainsFunc(n.list, func(one string) bool { return strings.Contains(text, one) })
	}
	for length, some := range n.byLength {
		for start := 0; start+length <= len(text); start++ {
			if some[text[start:start+length]] {
				return true
			}
		}
	}
	return false
}

// spansIn returns all places where one of them stands, also where they overlap.
func (n needles) spansIn(text string) []span {
	var found []span
	if n.byLength == nil {
		for _, one := range n.list {
			for start := strings.Index(text, one); start >= 0; {
				found = append(found, span{start, start + len(one)})
				next := strings.Index(text[start+1:], one)
				if next < 0 {
					break
				}
				start += 1 + next
			}
		}
		return found
	}
	for length, some := range n.byLength {
		for start := 0; start+length <= len(text); start++ {
			if some[text[start:start+length]] {
				found = append(found, span{start, start + length})
			}
		}
	}
	return found
}

// standingAlone returns where a form stands in a folded text with neither letter nor digit beside it.
func standingAlone(forms []string, text string) []span {
	var found []span
	for _, form := range forms {
		for from := 0; from <= len(text)-len(form); {
			start := strings.Index(text[from:], form)
			if start < 0 {
				break
			}
			start += from
			end := start + len(form)
			left, _ := utf8.DecodeLastRuneInString(text[:start])
			right, _ := utf8.DecodeRuneInString(text[end:])
			if !isAlphanumeric(left) && !isAlphanumeric(right) {
				found = append(found, span{start, end})
			}
			from = start + 1
		}
	}
	return found
}

func isAlphanumeric(character rune) bool {
	return unicode.IsLetter(character) || unicode.IsNumber(character)
}

// mayHoldDigit is false only for texts without a digit in their folded or decoded form.
func mayHoldDigit(text string) bool {
	for at := range len(text) {
		character := text[at]
		if '0' <= character && character <= '9' || character >= utf8.RuneSelf ||
			character == '%' || character == '\\' || character == '&' {
			return true
		}
	}
	return false
}

// writtenOut returns the whole numbers that a folded text may have with an exponent, in all their digits.
func writtenOut(text string) []string {
	var found []string
	for at := strings.IndexByte(text, 'e'); at >= 0 && at < len(text); {
		if mantissa, power, ok := exponentAround(text, at); ok {
			found = append(found, allDigits(mantissa, power)...)
		}
		next := strings.IndexByte(text[at+1:], 'e')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return found
}

// exponentAround returns the number before an `e` and the power behind it, as programs and spreadsheets write it.
func exponentAround(text string, at int) (mantissa string, power int, ok bool) {
	behind := at + 1
	if behind < len(text) && text[behind] == ' ' {
		behind++
	}
	end := behind
	for end < len(text) && end < behind+3 && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	if end == behind || end == behind+3 {
		return "", 0, false
	}
	power, _ = strconv.Atoi(text[behind:end])
	last := at
	if last > 0 && strings.IndexByte(".,", text[last-1]) >= 0 {
		last--
	}
	first := last
	for first > 0 {
		before := text[first-1]
		isMark := strings.IndexByte(".,_", before) >= 0
		if isMark && first < last && first > 1 && isDigits(text[first-2:first-1]) && isDigits(text[first:first+1]) {
			first--
		} else if before < '0' || before > '9' {
			break
		} else {
			first--
		}
	}
	return text[first:last], power, first < last
}

func allDigits(mantissa string, power int) []string {
	groups := strings.FieldsFunc(mantissa, func(character rune) bool { return strings.ContainsRune(".,_", character) })
	var found []string
	for first := max(0, len(groups)-maxGroups); first < len(groups); first++ {
		digits, fraction := strings.Join(groups[first:], ""), strings.Join(groups[first+1:], "")
		if zeros := power - len(fraction); zeros >= 0 {
			digits += strings.Repeat("0", zeros)
		} else {
			digits = digits[:len(digits)+zeros]
		}
		found = append(found, strings.TrimLeft(digits, "0"))
	}
	return found
}
