package ldvprocessor

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Folding brings the spellings of a text together, so that an identifier stands in it or not: see
// ldv_otel._internal.privacy.folding, of which this is the same in Go. Where a character of the folded text comes from
// is kept, so that it can be replaced in the text itself.

const (
	// A text is decoded so often; nobody encodes more often than that without wanting to hide something.
	maxDecodings = 8
	// Where a text that was cut ends inside an escape, it is in so many of its last bytes.
	cutEscapeBytes = 64
)

var (
	folder = cases.Fold()
	// What a limit on the length of a text left of an escape at its end.
	cutEscape = regexp.MustCompile(
		`(?:%(?:25)*(?:u[0-9a-fA-F]{0,3}|2|[0-9a-fA-F])?|\\(?:[uUx][0-9a-fA-F]{0,7})?|&#?x?)\z`)
)

// Digits that Unicode does not count among the decimal ones, from a first character on, with its value.
var oddDigits = []struct {
	first, last rune
	value       rune
}{
	{0x1369, 0x1371, 1}, {0x19da, 0x19da, 1}, {0x24f5, 0x24fd, 1}, {0x24ff, 0x24ff, 0}, {0x2776, 0x277e, 1},
	{0x2780, 0x2788, 1}, {0x278a, 0x2792, 1}, {0x10a40, 0x10a43, 1}, {0x10e60, 0x10e68, 1}, {0x11052, 0x1105a, 1},
}

// folded is a text in its folded form; origins has for each of its bytes the first byte of the character it comes from.
type folded struct {
	text    string
	source  string
	origins []int
}

// lettersAndDigits returns a text without anything that separates letters and digits.
func lettersAndDigits(text string) string { return fold(text, false, false).text }

// wholeText returns a text with its marks: a dot may tell two names apart.
func wholeText(text string) string { return fold(text, true, false).text }

func fold(text string, marks, origins bool) folded {
	var out strings.Builder
	out.Grow(len(text))
	result := folded{source: text}
	for at, character := range text {
		before := out.Len()
		if character < utf8.RuneSelf {
			foldASCII(&out, byte(character), marks)
		} else {
			foldOther(&out, character, marks)
		}
		if origins {
			for range out.Len() - before {
				result.origins = append(result.origins, at)
			}
		}
	}
	result.text = out.String()
	return result
}

// place returns where in the text the folded bytes from start to end come from.
func (f folded) place(start, end int) [2]int {
	last := f.origins[end-1]
	_, size := utf8.DecodeRuneInString(f.source[last:])
	return [2]int{f.origins[start], last + size}
}

func foldASCII(out *strings.Builder, character byte, marks bool) {
	switch {
	case 'a' <= character && character <= 'z', '0' <= character && character <= '9':
		out.WriteByte(character)
	case 'A' <= character && character <= 'Z':
		out.WriteByte(character + 'a' - 'A')
	case !marks:
	case character == '+' || isSpace(rune(character)):
		out.WriteByte(' ')
	default:
		out.WriteByte(character)
	}
}

func foldOther(out *strings.Builder, character rune, marks bool) {
	// Twice: small letters may be composed again.
	letters := norm.NFKD.String(folder.String(norm.NFKD.String(string(character))))
	for _, letter := range letters {
		if letter < utf8.RuneSelf {
			foldASCII(out, byte(letter), marks)
			continue
		}
		if digit, ok := digitOf(letter); ok {
			out.WriteByte(digit)
			continue
		}
		switch {
		case unicode.Is(unicode.M, letter), unicode.Is(unicode.Cf, letter):
		case unicode.IsLetter(letter), unicode.IsNumber(letter):
			out.WriteRune(letter)
		case !marks:
		case isSpace(letter):
			out.WriteByte(' ')
		case unicode.Is(unicode.Pd, letter), letter == 0x2212:
			out.WriteByte('-')
		default:
			out.WriteRune(letter)
		}
	}
}

// decimalOf returns the ASCII digit that a decimal digit of any script stands for.
func decimalOf(letter rune) (byte, bool) {
	for _, table := range unicode.Nd.R16 {
		if letter >= rune(table.Lo) && letter <= rune(table.Hi) {
			return '0' + byte((letter-rune(table.Lo))%10), true
		}
	}
	for _, table := range unicode.Nd.R32 {
		if letter >= rune(table.Lo) && letter <= rune(table.Hi) {
			return '0' + byte((letter-rune(table.Lo))%10), true
		}
	}
	return 0, false
}

func digitOf(letter rune) (byte, bool) {
	if digit, ok := decimalOf(letter); ok {
		return digit, true
	}
	for _, odd := range oddDigits {
		if letter >= odd.first && letter <= odd.last {
			return '0' + byte(letter-odd.first+odd.value), true
		}
	}
	return 0, false
}

// isSpace is Python's idea of white space, which the SDK strips.
func isSpace(character rune) bool {
	return unicode.IsSpace(character) || character >= 0x1c && character <= 0x1f
}

// decoded returns a text as it is, and decoded once, twice and so on. False means that it is encoded more often than
// that, so that what it hides is not known.
func decoded(text string) ([]string, bool) {
	all := []string{text}
	for range maxDecodings {
		if !strings.ContainsAny(text, `%\&`) {
			return all, true
		}
		onceMore := decodedOnce(text)
		if onceMore == text {
			return all, true
		}
		text = onceMore
		all = append(all, text)
	}
	return all, false
}

// withoutCutEscape returns a text without the part of an escape at its end.
func withoutCutEscape(text string) string {
	tail := text[max(0, len(text)-cutEscapeBytes):]
	if cut := cutEscape.FindStringIndex(tail); cut != nil {
		return text[:len(text)-len(tail)+cut[0]]
	}
	return text
}

func decodedOnce(text string) string {
	if strings.ContainsAny(text, `\&`) || strings.Contains(text, "%u") {
		text = withoutEscapes(text)
	}
	if strings.Contains(text, "%") {
		text = withoutPercents(text)
	}
	return text
}

// withoutEscapes decodes what JSON, programming languages, JavaScript's `escape` and HTML write.
func withoutEscapes(text string) string {
	var out strings.Builder
	high := rune(0) // the first half of a character, escaped by itself
	flush := func() {
		if high != 0 {
			out.WriteRune(utf8.RuneError)
			high = 0
		}
	}
	for at := 0; at < len(text); {
		code, size := escapeAt(text, at)
		if size == 0 {
			flush()
			if text[at] == '\\' {
				// A run of backslashes goes as a whole: it begins an escape or none.
				size = len(text[at:]) - len(strings.TrimLeft(text[at:], `\`))
			} else {
				_, size = utf8.DecodeRuneInString(text[at:])
			}
			out.WriteString(text[at : at+size])
			at += size
			continue
		}
		at += size
		switch {
		case code >= 0xd800 && code < 0xdc00:
			flush()
			high = code
		case code >= 0xdc00 && code < 0xe000 && high != 0:
			out.WriteRune((high-0xd800)<<10 + (code - 0xdc00) + 0x10000)
			high = 0
		default:
			flush()
			out.WriteRune(code) // U+FFFD for what is no character
		}
	}
	flush()
	return out.String()
}

// escapeAt returns the character that is escaped at a place, and how many bytes that takes; 0 for none.
func escapeAt(text string, at int) (rune, int) {
	switch text[at] {
	case '\\':
		mark := at
		for mark < len(text) && text[mark] == '\\' {
			mark++
		}
		return backslashEscape(text, at, mark)
	case '%':
		if at+1 < len(text) && text[at+1] == 'u' {
			if code, ok := hexNumber(text, at+2, 4); ok {
				return code, 6
			}
		}
	case '&':
		return htmlEscape(text, at)
	}
	return 0, 0
}

func backslashEscape(text string, at, mark int) (rune, int) {
	if mark >= len(text) {
		return 0, 0
	}
	if digits := map[byte]int{'u': 4, 'x': 2, 'U': 8}[text[mark]]; digits > 0 {
		if code, ok := hexNumber(text, mark+1, digits); ok {
			return code, mark + 1 + digits - at
		}
	}
	if strings.HasPrefix(text[mark:], "u{") {
		digits := 0
		for digits < 6 && isHexAt(text, mark+2+digits) {
			digits++
		}
		if end := mark + 2 + digits; digits > 0 && end < len(text) && text[end] == '}' {
			code, _ := hexNumber(text, mark+2, digits)
			return code, end + 1 - at
		}
	}
	if strings.IndexByte("nrtfbv", text[mark]) >= 0 {
		return ' ', mark + 1 - at // what separates, so that its letter does not
	}
	return 0, 0
}

// named are what HTML names that may stand between digits.
var named = []string{
	"nbsp;", "ensp;", "emsp;", "thinsp;", "shy;", "ndash;", "mdash;", "hyphen;", "period;", "comma;", "Tab;", "NewLine;",
}

func htmlEscape(text string, at int) (rune, int) {
	mark := at + 1
	for strings.HasPrefix(text[mark:], "amp;") {
		mark += len("amp;")
	}
	for _, name := range named {
		if strings.HasPrefix(text[mark:], name) {
			return ' ', mark + len(name) - at
		}
	}
	if mark >= len(text) || text[mark] != '#' {
		return 0, 0
	}
	mark++
	base, longest := rune(10), 7
	if mark < len(text) && (text[mark] == 'x' || text[mark] == 'X') {
		mark, base, longest = mark+1, 16, 6
	}
	zeros := mark
	for mark < len(text) && text[mark] == '0' {
		mark++
	}
	code, digits := rune(0), 0
	for digits < longest && isHexAt(text, mark) && (base == 16 || text[mark] <= '9') {
		code = code*base + hexValue(text[mark])
		mark, digits = mark+1, digits+1
	}
	if digits == 0 && mark == zeros {
		return 0, 0
	}
	if mark < len(text) && text[mark] == ';' {
		mark++
	}
	return code, mark - at
}

func withoutPercents(text string) string {
	var out strings.Builder
	for at := 0; at < len(text); {
		if text[at] == '%' {
			pair := at + 1
			// A `%` that was escaped itself, any number of times.
			for strings.HasPrefix(text[pair:], "25") && isHexAt(text, pair+2) && isHexAt(text, pair+3) {
				pair += 2
			}
			if isHexAt(text, pair) && isHexAt(text, pair+1) {
				out.WriteByte(byte(hexValue(text[pair])<<4 | hexValue(text[pair+1])))
				at = pair + 2
				continue
			}
		}
		out.WriteByte(text[at])
		at++
	}
	return latin1Repaired(out.String())
}

// latin1Repaired reads bytes that are no UTF-8 in the encoding that URLs had before.
func latin1Repaired(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var out strings.Builder
	for at := 0; at < len(text); {
		character, size := utf8.DecodeRuneInString(text[at:])
		if character == utf8.RuneError && size == 1 {
			character = rune(text[at])
		}
		out.WriteRune(character)
		at += size
	}
	return out.String()
}

func hexNumber(text string, at, digits int) (rune, bool) {
	code := rune(0)
	for place := at; place < at+digits; place++ {
		if !isHexAt(text, place) {
			return 0, false
		}
		if code > unicode.MaxRune {
			continue
		}
		code = code<<4 | hexValue(text[place])
	}
	return code, true
}

func isHexAt(text string, at int) bool {
	if at >= len(text) {
		return false
	}
	digit := text[at]
	return '0' <= digit && digit <= '9' || 'a' <= digit && digit <= 'f' || 'A' <= digit && digit <= 'F'
}

func hexValue(digit byte) rune {
	switch {
	case digit <= '9':
		return rune(digit - '0')
	case digit <= 'F':
		return rune(digit-'A') + 10
	default:
		return rune(digit-'a') + 10
	}
}
