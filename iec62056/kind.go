package iec62056

var kindNames = [...]string{"", "request", "identification", "option-select", "ack", "nak", "command", "data"}

// String returns the name of the message in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}
