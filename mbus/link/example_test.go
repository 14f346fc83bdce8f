package link_test

import (
	"fmt"

	"github.com/openusm/meter/mbus/link"
)

// The master asks slave 5 for its data.
func ExampleFrame_AppendBinary() {
	b, err := link.Frame{Form: link.Short, C: link.ReqUD2.WithFCB(true), A: 5}.AppendBinary(nil)
	fmt.Printf("% x %v\n", b, err)
	f, n, err := link.Parse(b)
	fmt.Println(f.Form, f.C, f.A, n, err)
	// Output:
	// 10 7b 05 80 16 <nil>
	// short REQ_UD2 FCB FCV 5 5 <nil>
}
