package mbussim_test

import (
	"context"
	"fmt"
	"net"

	"github.com/openusm/meter/mbus/mbussim"
)

// A bus with 24 slaves answers whoever connects.
func Example() {
	bus := mbussim.New(&mbussim.Config{Slaves: 24})
	near, far := net.Pipe()
	go func() { _ = bus.Serve(context.Background(), far) }()

	_, _ = near.Write([]byte{0x10, 0x40, 0x18, 0x58, 0x16}) // SND_NKE to slave 24
	answer := make([]byte, 1)
	_, _ = near.Read(answer)
	fmt.Printf("%x\n", answer)
	// Output:
	// e5
}
