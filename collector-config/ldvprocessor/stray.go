package ldvprocessor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A stray BSN (LDV-N14): nine digits that pass the 11-test, alone or in the groups in which people write them, that
// nobody named as a data subject. The same rule as ldv_otel._internal.privacy.stray_numbers.

const (
	bsnDigits = 9
	// As many characters as it has.
	mask = "*********"
	// An id in hexadecimal, as of a trace or a UUID, is longer than any number of a person.
	idCharacters = 16
	idAround     = 64
)

var (
	bsnGroups = regexp.MustCompile(`[0-9]{9}|[0-9]{3}[ .,_/-]{1,2}[0-9]{3}[ .,_/-]{1,2}[0-9]{3}` +
		`|[0-9]{4}[ .,_/-]{1,2}[0-9]{2}[ .,_/-]{1,2}[0-9]{3}`)
	groupAtEnd  = regexp.MustCompile(`(?:\A|[^0-9])[0-9]{1,3}\z`)
	digitGroups = regexp.MustCompile(`[0-9]+`)
)

// holdsStray tells whether a stray BSN stands in a text, as it is or decoded.
func holdsStray(text string) bool {
	if !mayHoldStray(text) {
		return false
	}
	texts, known := decoded(text)
	return !known || slices.ContainsFunc(texts, holdsStrayAsItIs)
}

// withoutStray returns a text with each replaced by asterisks.
func withoutStray(text string) string {
	if !holdsStray(text) {
		return text
	}
	places := func(text string) []span {
		whole := fold(text, true, true)
		var found []span
		for _, one := range strayPlaces(whole.text) {
			found = append(found, whole.place(one[0], one[1]))
		}
		return found
	}
	return replacedIn(text, mask, places, holdsStray)
}

func isStrayInteger(number int64) bool { return passesElevenTest(strconv.FormatInt(number, 10)) }

func isStrayDouble(number float64) bool { return passesElevenTest(numberText(number)) }

// mayHoldStray is false for most texts, at one glance.
func mayHoldStray(text string) bool {
	digits, encoded := 0, false
	for at := range len(text) {
		character := text[at]
		switch {
		case '0' <= character && character <= '9':
			digits++
		case character >= 0x80 || character == '%' || character == '\\' || character == '&':
			encoded = true
		}
	}
	// With an exponent it may have fewer digits.
	return encoded || digits >= bsnDigits || digits > 0 && strings.ContainsAny(text, "eE")
}

func holdsStrayAsItIs(text string) bool {
	whole := wholeText(text)
	return len(strayPlaces(whole)) > 0 || strings.Contains(whole, "e") && holdsStrayWithExponent(whole)
}

// holdsStrayWithExponent looks at numbers that stand by themselves, as programs write a BSN: with most of its digits
// before the exponent. `41e7`, which passes the test too, stands in ids of spans.
func holdsStrayWithExponent(whole string) bool {
	for _, place := range withExponent.FindAllStringIndex(whole, -1) {
		if place[0] > 0 && isWordByte(whole[place[0]-1]) || place[1] < len(whole) && isWordByte(whole[place[1]]) {
			continue
		}
		if slices.ContainsFunc(writtenOut(whole[place[0]:place[1]]), func(digits string) bool {
			return len(strings.TrimRight(digits, "0")) >= beforeExponent && passesElevenTest(digits)
		}) {
			return true
		}
	}
	return false
}

func isWordByte(letter byte) bool {
	return '0' <= letter && letter <= '9' || 'a' <= letter && letter <= 'z' || strings.IndexByte(".,_", letter) >= 0
}

// Digits before an exponent: one BSN in a thousand ends with more zeros.
const beforeExponent = 7

var withExponent = regexp.MustCompile(`[0-9][0-9.,_]*e ?[0-9]{1,2}`)

// strayPlaces returns where BSNs stand in a folded text.
func strayPlaces(whole string) []span {
	var found []span
	for from := 0; from < len(whole); {
		one := bsnGroups.FindStringIndex(whole[from:])
		if one == nil {
			break
		}
		start, end := from+one[0], from+one[1]
		if isStrayAt(whole, start, end) {
			found = append(found, span{start, end})
			from = end
			continue
		}
		// The next one may begin inside this one, but not inside its first digits.
		from = start + 1
		for from < len(whole) && isDigits(whole[from-1:from]) && isDigits(whole[from:from+1]) {
			from++
		}
	}
	return found
}

func isStrayAt(whole string, start, end int) bool {
	if start > 0 && isDigits(whole[start-1:start]) || end < len(whole) && isDigits(whole[end:end+1]) {
		return false
	}
	groups := digitGroups.FindAllStringIndex(whole[start:end], -1)
	if len(groups) == 3 {
		separator := whole[start+groups[0][1] : start+groups[1][0]]
		if separator != whole[start+groups[1][1]:start+groups[2][0]] {
			return false
		}
		// A part of a longer number in groups of three.
		if next := whole[end:]; len(next) > len(separator) && strings.HasPrefix(next, separator) &&
			isDigits(next[len(separator):len(separator)+1]) {
			return false
		}
		if before := whole[:start]; strings.HasSuffix(before, separator) &&
			groupAtEnd.MatchString(lastBytes(before[:len(before)-len(separator)], 4)) {
			return false
		}
	}
	return passesElevenTest(strings.Join(digitGroups.FindAllString(whole[start:end], -1), "")) &&
		!isInID(whole, start, end)
}

func lastBytes(text string, count int) string { return text[max(0, len(text)-count):] }

// isInID tells whether digits are part of an id in hexadecimal, which has letters.
func isInID(whole string, start, end int) bool {
	first, last := start, end
	for first > 0 && first > start-idAround && isIDByte(whole[first-1]) {
		first--
	}
	for last < len(whole) && last < end+idAround && isIDByte(whole[last]) {
		last++
	}
	around := strings.ReplaceAll(whole[first:start]+whole[end:last], "-", "")
	return around != "" && len(around)+bsnDigits >= idCharacters && !isDigits(around)
}

func isIDByte(character byte) bool {
	return '0' <= character && character <= '9' || 'a' <= character && character <= 'f' || character == '-'
}
