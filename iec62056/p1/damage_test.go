package p1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/openusm/meter/iec62056"
	"github.com/openusm/meter/internal/crc16"
	"github.com/openusm/meter/obis"
	"github.com/stretchr/testify/require"
)

// Numbers that meters outside DSMR write as they are stay what they are, however
// much their digits look like the codes of letters; hexadecimal text is read.
func TestPlainNumbersAreKept(t *testing.T) {
	for line, want := range map[string]string{
		"0-0:96.1.0(96815390)":                           "96815390",
		"0-0:96.1.0(53965555)":                           "53965555",
		"0-0:96.1.0(47484950)":                           "47484950",
		"0-0:96.1.1(99999999)":                           "99999999",
		"0-0:96.1.1(41424344454647)":                     "41424344454647",
		"0-1:96.1.0(4142434445)":                         "4142434445",
		"0-0:42.0.0(47484950)":                           "47484950",
		"0-0:96.1.0(2021222324252627)":                   "2021222324252627", // nothing but signs
		"0-0:96.1.0(9681539096815390)":                   "9681539096815390",
		"0-0:96.1.0(E0968153)":                           "E0968153",
		"0-0:96.1.1(4B384547303034303436333935353037)":   "K8EG004046395507",
		"0-0:96.1.1(4530303435303033383833343439383137)": "E0045003883449817",
		"0-1:96.1.0(37464C4F32313139303333373333)":       "7FLO2119033733",
		"0-0:96.13.0(303132)":                            "012",
		"0-0:96.13.0(53616C7574)":                        "Salut",
		"0-0:96.13.0(4772C3BCC39F65)":                    "Grüße",
		"0-0:96.13.0(4772FCDF65)":                        "Gr\xfc\xdfe",
		"0-0:96.13.0(99999999)":                          "99999999",
		"0-0:96.13.1(3031203631203831)":                  "01 61 81",
		"0-0:96.13.0(486F6C610D0A)":                      "Hola\r\n",
		"0-0:96.13.0(00414243)":                          "00414243",
		"0-0:96.1.4(50217)":                              "50217",
		"0-0:96.14.0(0002)":                              "2",
	} {
		telegram, _, err := Parse([]byte("/ISK9\\2M551T-200\r\n\r\n" + line + "\r\n!\r\n"))
		require.NoError(t, err)
		got := new(Decoder).Decode(telegram).Readings
		require.Len(t, got, 1)
		require.Equal(t, want, strings.TrimPrefix(got[0].Value.String(), "text "), line)
	}
	telegram, _, err := Parse([]byte("/ISK9\\2M551T-200\r\n\r\n0-0:96.1.0(96815390)\r\n0-1:24.1.0(003)\r\n0-1:96.1.0(47484950)\r\n!\r\n"))
	require.NoError(t, err)
	require.Equal(t, "96815390", telegram.Meter().ID)
	require.Equal(t, "47484950", telegram.SubMeters()[0].Meter.ID)
}

// A telegram whose line ends were changed on the way is checked as it was sent.
func TestLineEnds(t *testing.T) {
	for _, name := range []string{"v5.txt", "be.txt", "lu.txt", "se.txt"} {
		sent := load(t, name)
		whole, _, err := Parse(sent)
		require.NoError(t, err)
		require.True(t, whole.Checked)
		for _, end := range []string{"\n", "\r"} {
			if end == "\r" && name == "be.txt" {
				continue // three digits of CRC and CR may be the beginning of four
			}
			copied := bytes.ReplaceAll(sent, []byte("\r\n"), []byte(end))
			got, n, err := Parse(copied)
			require.NoError(t, err, name)
			require.Equal(t, len(copied), n)
			require.True(t, got.Checked)
			require.Equal(t, readings(t, whole), readings(t, got))

			at := bytes.Index(copied, []byte("kW"))
			copied[at-1] ^= 1
			_, _, err = Parse(copied)
			require.ErrorIs(t, err, ErrChecksum)
		}
	}
	made := []byte("/ABC5X\n\n1-0:1.8.0(1*kWh)\n!")
	made = fmt.Appendf(made, "%04X\n", crc16.ARC(made))
	got, _, err := Parse(made)
	require.NoError(t, err, "a CRC over LF")
	require.True(t, got.Checked)
}

// decodings returns what a capture gives as telegram of a customer port, and what
// it gives to those who take it for a readout of IEC 62056-21.
func decodings(b []byte, each func(how string, readings []obis.Reading, events []obis.Event, profiles []*obis.Profile)) {
	var s Stream
	s.Feed(b)
	var d Decoder
	telegram := func(how string, t Telegram) {
		c := d.Decode(t)
		each(how, c.Readings, c.Events, c.Profiles)
	}
	for {
		m, err := s.Next()
		if err == nil && !m.IsEncrypted() {
			telegram("telegram", m.Telegram)
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
	}
	if t, err := Salvage(s.Pending()); err == nil {
		telegram("salvaged telegram", t)
	}
	other := iec62056.Stream{Conversation: true}
	other.Feed(b)
	var od iec62056.Decoder
	readout := func(how string, r iec62056.Readout) {
		c := od.Decode(r)
		each(how, c.Readings, c.Events, c.Profiles)
	}
	for {
		in, err := other.Next()
		if err == nil && in.Message.Kind == 0 {
			readout("readout", in.Readout)
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
	}
	readout("salvaged readout", iec62056.Salvage(other.Pending()))
	readout("salvaged capture", iec62056.Salvage(b))
}

// A telegram that was damaged shows nothing good that the meter did not send,
// wherever the damage lies and whatever it is taken for.
func TestNothingDamagedIsGood(t *testing.T) {
	for _, name := range []string{"v5.txt", "be.txt", "lu.txt", "se.txt"} {
		sent := load(t, name)
		truth := map[string]bool{}
		decodings(sent, func(_ string, readings []obis.Reading, events []obis.Event, profiles []*obis.Profile) {
			for _, r := range readings {
				truth[show(r)] = true
			}
		})
		check := func(b []byte, what string) {
			decodings(b, func(how string, readings []obis.Reading, events []obis.Event, profiles []*obis.Profile) {
				for _, r := range readings {
					if r.Quality.Validity() == obis.Good && !truth[show(r)] {
						t.Fatalf("%s, %s, %s: %s is good", name, what, how, show(r))
					}
				}
			})
		}
		altered := bytes.Clone(sent)
		at := bytes.Index(sent, []byte("*kW")) - 1
		altered[at] ^= 1
		for i := range sent {
			for bit := range 8 {
				one := bytes.Clone(sent)
				one[i] ^= 1 << bit
				check(one, fmt.Sprintf("bit %d of octet %d", bit, i))
				if i == at {
					continue
				}
				two := bytes.Clone(altered)
				two[i] ^= 1 << bit
				check(two, fmt.Sprintf("altered value and bit %d of octet %d", bit, i))
			}
			check(altered[:i], fmt.Sprintf("altered value, cut at %d", i))
		}
		bang := bytes.LastIndexByte(altered, '!')
		for _, end := range []string{"", "!", "!\r\n", "!12\r\n", "?1234\r\n", "\x02!\r\n"} {
			check(append(bytes.Clone(altered[:bang]), end...), fmt.Sprintf("altered value, end %q", end))
		}
	}
}

// Events and profiles of an unchecked telegram are no better than its readings.
func TestEventsAndPeaksOfADamagedTelegram(t *testing.T) {
	for _, name := range []string{"v5.txt", "be.txt"} {
		sent := load(t, name)
		bang := bytes.LastIndexByte(sent, '!')
		telegram, _, err := Parse(append(bytes.Clone(sent[:bang+1]), "\r\n"...))
		require.NoError(t, err)
		c := new(Decoder).Decode(telegram)
		require.NotEmpty(t, len(c.Events)+len(c.Profiles))
		require.Len(t, c.BadLines, 1)
		require.ErrorIs(t, &c.BadLines[0], errNoCRC)
		require.Equal(t, bang+1, c.BadLines[0].Offset)
		for _, e := range c.Events {
			require.Equal(t, obis.Doubtful, e.Quality.Validity())
			require.Equal(t, obis.Doubtful, e.Params[0].Quality.Validity())
		}
		for _, p := range c.Profiles {
			for row := range p.Len() {
				require.NotEqual(t, obis.Good, p.Quality.At(row).Validity())
			}
		}
	}
}

// A value that was logged with an event stands on the line of the log.
func TestSourceOfEvents(t *testing.T) {
	telegram, _, err := Parse(load(t, "v5.txt"))
	require.NoError(t, err)
	c := new(Decoder).Decode(telegram)
	require.NotEmpty(t, c.Events)
	for _, e := range c.Events {
		require.Contains(t, string(c.Line(e.Params[0].Source)), "1-0:99.97.0(")
	}
}

// A gas meter whose time does not exist keeps its value, and the time is no value.
func TestTimesThatDoNotExist(t *testing.T) {
	for line, want := range map[string]string{
		"0-1:24.2.1(210229023000S)(00001.001*m3)": "1.001 m3 clock-invalid",
		"0-1:24.2.1(211301023000W)(00001.001*m3)": "1.001 m3 clock-invalid",
		"1-0:1.6.0(211301023000W)(01.001*kW)":     "1001 W clock-invalid",
		"0-1:24.2.1(632525252525W)(00001.001*m3)": "1.001 m3 invalid",
		"0-1:24.2.1(210228023000W)(00001.001*m3)": "1.001 m3 good",
		"0-1:24.2.1(210228023000W)(------)":       " missing",
		"0-0:1.0.0(210229023000S)":                "210229023000S  invalid,questionable",
		"1-0:2.8.0(1*kWh*)":                       "1*kWh  invalid",
	} {
		telegram, _, err := Parse([]byte("/ISK9\\2M551T-200\r\n\r\n" + line + "\r\n!\r\n"))
		require.NoError(t, err)
		got := new(Decoder).Decode(telegram).Readings
		require.Len(t, got, 1, line)
		require.Equal(t, strings.TrimSpace(want), strings.TrimSpace(fmt.Sprint(got[0].Value, " ", got[0].Unit, " ", got[0].Quality.Flags)), line)
	}
}
