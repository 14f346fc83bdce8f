package xmltext

import "unicode/utf8"

// AppendEscaped appends text so that it may stand in an element or in a quoted
// attribute. Characters that XML cannot hold become U+FFFD.
func AppendEscaped(dst []byte, text string) []byte {
	for _, c := range text {
		switch {
		case c == '&':
			dst = append(dst, "&amp;"...)
		case c == '<':
			dst = append(dst, "&lt;"...)
		case c == '>':
			dst = append(dst, "&gt;"...)
		case c == '"':
			dst = append(dst, "&quot;"...)
		case c == '\t', c == '\n', c == '\r':
			dst = append(append(append(dst, "&#"...), []string{9: "9", 10: "10", 13: "13"}[c]...), ';')
		case c < ' ', c == 0xFFFE, c == 0xFFFF:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return dst
}

// Fits reports whether XML can hold all characters of text.
func Fits(text string) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF {
			return false
		}
	}
	return utf8.ValidString(text)
}

// AppendElement appends <name>text</name>, and nothing for an empty text.
func AppendElement(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(append(append(dst, '<'), name...), '>')
	dst = AppendEscaped(dst, text)
	return append(append(append(dst, "</"...), name...), '>')
}
