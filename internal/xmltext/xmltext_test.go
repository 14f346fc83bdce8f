package xmltext

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

const sample = `<?xml version="1.0"?><!-- a --> <f:feed xmlns:f="urn:f" xmlns="urn:d" f:a='1 &lt; 2' b="&#x41;">
 <entry xmlns="urn:e">x &amp; y<![CDATA[<z>]]></entry><f:empty/><plain/></f:feed>
`

func TestReader(t *testing.T) {
	r := NewReader([]byte(sample))
	var got []string
	for {
		k, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		switch k {
		case Start:
			got = append(got, fmt.Sprint("<", r.Name, r.Attrs))
		case End:
			got = append(got, fmt.Sprint(">", r.Name))
		case Text:
			if text := strings.TrimSpace(string(r.Text)); text != "" {
				got = append(got, text)
			}
		}
	}
	require.Equal(t, []string{"<{urn:f feed} [{{urn:f a} 1 < 2} {{ b} A}]", "<{urn:e entry} []", "x & y", "<z>", ">{urn:e entry}",
		"<{urn:f empty} []", ">{urn:f empty}", "<{urn:d plain} []", ">{urn:d plain}", ">{urn:f feed}"}, got)
}

func TestReaderRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		doc    string
		offset int
		short  bool
	}{
		"nothing":                 {"", 0, true},
		"no end":                  {"<a>", 3, true},
		"half a tag":              {"<a b", 4, true},
		"wrong end":               {"<a></b>", 3, false},
		"two roots":               {"<a/><b/>", 4, false},
		"text outside":            {"<a/>x", 4, false},
		"a document type":         {"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", 0, false},
		"an unknown entity":       {"<a>&b;</a>", 3, false},
		"a reference to NUL":      {"<a>&#0;</a>", 3, false},
		"an undeclared prefix":    {"<b:a/>", 0, false},
		"an attribute twice":      {"<a b='' b=''/>", 0, false},
		"an attribute unquoted":   {"<a b=1/>", 3, false},
		"Latin-1":                 {"<a>\xE9</a>", 3, false},
		"a control character":     {"<a>1\x13</a>", 4, false},
		"one in CDATA":            {"<a><![CDATA[\x00]]></a>", 12, false},
		"U+FFFE":                  {"<a>\uFFFE</a>", 3, false},
		"a reference to U+FFFF":   {"<a>&#xFFFF;</a>", 3, false},
		"deeper than it may":      {strings.Repeat("<a>", MaxDepth+1), 3 * MaxDepth, false},
		"a comment without end":   {"<a><!-- ", 8, true},
		"no space before":         {"<a b=''c=''/>", 7, false},
		"a slash in a start tag":  {"<a / >", 4, false},
		"a lesser in an attribut": {"<a b='<'/>", 6, false},
		"xmlns twice":             {"<a xmlns='b' xmlns='b'/>", 13, false},
		"a prefix twice":          {"<a xmlns:c='b' xmlns:c='d'/>", 15, false},
		"a prefix of nothing":     {"<a xmlns:c=''/>", 3, false},
		"no prefix":               {"<a xmlns:='b'/>", 3, false},
		"a reserved prefix":       {"<a xmlns:xml='b'/>", 3, false},
		"a reserved namespace":    {"<a xmlns='http://www.w3.org/2000/xmlns/'/>", 3, false},
		"-- in a comment":         {"<a><!-- b -- c --></a>", 10, false},
		"--- ends a comment":      {"<a><!-- b ---></a>", 10, false},
		"NUL in a comment":        {"<a><!--\x00--></a>", 7, false},
		"a late XML declaration":  {"<a><?xml version='1.0'?></a>", 3, false},
		"no target":               {"<a><? b?></a>", 3, false},
		"]]> in a text":           {"<a>b]]></a>", 3, false},
		"a digit first":           {"<1a/>", 0, false},
		"a name with a bracket":   {"<a b[='c'/>", 3, false},
		"a name that is not UTF8": {"<a\xFF/>", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader([]byte(test.doc))
			var err error
			for err == nil {
				_, err = r.Next()
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.offset, e.Offset, "%v", err)
			require.Equal(t, test.short, errors.Is(err, io.ErrUnexpectedEOF))
		})
	}
}

// FuzzTree holds the reader against encoding/xml: what both accept they read
// alike, and what is written again is read as the same.
func FuzzTree(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("<a>&#65;</a>"))
	f.Add([]byte("<a xmlns:b='c' b:d='e'><b:f xmlns:b='g'/></a>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		n, err := ParseTree(doc)
		if err != nil {
			return
		}
		again := n.Append(nil, "")
		back, err := ParseTree(again)
		require.NoError(t, err, "%s", again)
		require.True(t, n.Equal(back), "%s", again)
		d := xml.NewDecoder(bytes.NewReader(doc))
		for {
			token, err := d.Token()
			if err != nil {
				return // encoding/xml is stricter about the characters of names
			}
			if s, ok := token.(xml.StartElement); ok {
				require.Equal(t, s.Name.Local, n.Name.Local)
				require.Equal(t, s.Name.Space, n.Name.Space)
				return
			}
		}
	})
}

// BenchmarkReader reads interval readings; the floor only finds the brackets.
func BenchmarkReader(b *testing.B) {
	var doc bytes.Buffer
	doc.WriteString(`<IntervalBlock xmlns="http://naesb.org/espi">`)
	for i := range 1000 {
		fmt.Fprintf(&doc, "<IntervalReading><timePeriod><duration>900</duration><start>%d</start></timePeriod><value>%d</value></IntervalReading>", 1795176000+i*900, i)
	}
	doc.WriteString("</IntervalBlock>")
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(doc.Bytes())
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
	golden.OfFloor(b, func() { // the least that finds the tags
		for rest := doc.Bytes(); len(rest) > 0; {
			n := bytes.IndexByte(rest, '<')
			if n < 0 {
				break
			}
			end := bytes.IndexByte(rest[n:], '>')
			rest = rest[n+end+1:]
		}
	})
}

// Comments and CDATA sections split a text; its parts must not share memory, nor be copied for each of them.
func TestContentInParts(t *testing.T) {
	for doc, want := range map[string]string{
		"<a>1&lt;2<!-- x -->3&gt;4</a>":            "1<23>4",
		"<a>x&amp;<![CDATA[&amp;\r\n]]>&amp;y</a>": "x&&amp;\n&y",
		"<a>&lt;</a>": "<",
		"<a>" + strings.Repeat("1<!---->", 4) + "</a>": "1111",
	} {
		r := NewReader([]byte(doc))
		_, err := r.Next()
		require.NoError(t, err)
		got, err := r.Content()
		require.NoError(t, err)
		require.Equal(t, want, string(got), doc)
	}
	doc := []byte("<a>" + strings.Repeat("1<!---->", 1<<19) + "</a>")
	r := NewReader(doc)
	_, err := r.Next()
	require.NoError(t, err)
	got, err := r.Content()
	require.NoError(t, err)
	require.Len(t, got, 1<<19)
}

// A namespace may be declared anew within, and the white space around a text is kept where it is asked for.
func TestWhole(t *testing.T) {
	r := NewReader([]byte("\uFEFF<?xml version='1.0'?><!----><a xmlns='b' xmlns:xml='http://www.w3.org/XML/1998/namespace'><a xmlns='c'> d </a></a>"))
	for range 2 {
		_, err := r.Next()
		require.NoError(t, err)
	}
	require.Equal(t, "c", r.Name.Space)
	text, err := r.Whole()
	require.NoError(t, err)
	require.Equal(t, " d ", string(text))
}
