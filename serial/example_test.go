//go:build !windows

package serial_test

import (
	"fmt"
	"io"
	"log"

	"github.com/openusm/meter/serial"
)

// A line inside the machine stands for a meter with its optical head.
func Example() {
	meter, err := serial.OpenPseudo("")
	if err != nil {
		log.Fatal(err)
	}
	defer meter.Close()
	port, err := serial.Open(meter.PortName(), &serial.Config{Baud: 300, Framing: "7E1"})
	if err != nil {
		log.Fatal(err)
	}
	defer port.Close()

	if _, err := port.Write([]byte("/?!\r\n")); err != nil {
		log.Fatal(err)
	}
	request := make([]byte, 5)
	if _, err := io.ReadFull(meter, request); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", request)
	fmt.Println(port.SetLine(9600, "7E1"))
	// Output:
	// "/?!\r\n"
	// <nil>
}
