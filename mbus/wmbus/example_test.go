package wmbus_test

import (
	"encoding/hex"
	"fmt"

	"github.com/openusm/meter/mbus"
	"github.com/openusm/meter/mbus/wmbus"
)

// A line of a receiver becomes readings.
func ExampleDecoder_Parse() {
	line := "T1;1;1;2026-11-20 14:59:00.000;97;148;12345678;0x1b449315785634123303780c1427048502046d32371f1502fd170000"
	rec, err := wmbus.ParseLine([]byte(line))
	if err != nil {
		fmt.Println(err)
		return
	}
	var d wmbus.Decoder
	t, err := d.Parse(rec.Frame)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rec.Receiver, t.Frame.C, t.Meter().ID, t.Meter().Medium)
	for _, r := range d.AppendReadings(nil, &t.Telegram) {
		fmt.Println(r.Code, r.Rule, r.Value)
	}
	// Output:
	// rtl-wmbus SND_NR ELS12345678 gas
	// 7-0:3.0.0*255 standard 28504.27
	// 0-0:1.0.0*255 derived 2008-05-31T23:50:00
	// 0-0:97.97.0*255 standard 0b0000000000000000
}

// An encrypted telegram says what it lacks.
func ExampleDecoder_keys() {
	frame, _ := hex.DecodeString("2e4493157856341233037a2a0020255923c95aaa26d1b2e7493b013ec4a6f6d3529b520edff0ea6defc99d6d69ebf3")
	var d wmbus.Decoder
	_, err := d.Parse(frame)
	fmt.Println(err)

	key, _ := mbus.NewKey([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17})
	d.Keys = func(mbus.Address) *mbus.Key { return key }
	t, err := d.Parse(frame)
	fmt.Println(t.Records[0].Value, t.Security.Encrypted, err)
	// Output:
	// mbus: meter 1234567893153303, security mode 5 (AES-CBC): telegram is encrypted and there is no key for this meter
	// 28504.27 true <nil>
}
