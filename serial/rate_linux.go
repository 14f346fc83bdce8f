package serial

import (
	"os"

	"golang.org/x/sys/unix"
)

var rates = map[uint32]int{
	unix.B300: 300, unix.B600: 600, unix.B1200: 1200, unix.B2400: 2400, unix.B4800: 4800, unix.B9600: 9600,
	unix.B19200: 19200, unix.B38400: 38400, unix.B57600: 57600, unix.B115200: 115200,
}

// rateOf returns the rate that a program has set at the far end of a pseudo terminal.
func rateOf(master *os.File) (baud int, ok bool) {
	conn, err := master.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = conn.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, err = unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			baud, ok = rates[t.Cflag&unix.CBAUD]
		}
	})
	return baud, ok
}
