// Package jsontext appends strings to JSON documents that are written without
// reflection.
package jsontext

import "unicode/utf8"

// AppendString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	plain := 0 // what before at needs no escape is appended in one go
	for at := 0; at < len(s); at++ {
		c := s[at]
		if c >= utf8.RuneSelf {
			dst = append(dst, s[plain:at]...)
			return appendRunes(dst, string(s[at:]))
		}
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = appendEscaped(append(dst, s[plain:at]...), c)
		plain = at + 1
	}
	return append(append(dst, s[plain:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	if c == '"' || c == '\\' {
		return append(dst, '\\', c)
	}
	return append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
}

// appendRunes appends the rest of a string, and closes it.
func appendRunes(dst []byte, s string) []byte {
	for _, c := range s {
		if c == '"' || c == '\\' || c < ' ' {
			dst = appendEscaped(dst, byte(c))
			continue
		}
		dst = utf8.AppendRune(dst, c)
	}
	return append(dst, '"')
}
