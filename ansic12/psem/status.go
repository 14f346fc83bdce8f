package psem

import "fmt"

// Status is the first octet of a response. Any but OK is an error: the refusal
// of the peer, under the name that the standard gives it.
type Status byte

// The statuses of C12.18, and from ISSS on those of C12.22.
const (
	OK   Status = 0x00 // acknowledge
	Err  Status = 0x01 // error without further reason
	SNS  Status = 0x02 // service not supported
	ISC  Status = 0x03 // insufficient security clearance
	ONP  Status = 0x04 // operation not possible
	IAR  Status = 0x05 // inappropriate action requested
	BSY  Status = 0x06 // device busy
	DNR  Status = 0x07 // data not ready
	DLK  Status = 0x08 // data locked
	RNO  Status = 0x09 // renegotiate request
	ISSS Status = 0x0A // invalid service sequence state
	SME  Status = 0x0B // security mechanism error
	UAT  Status = 0x0C // unknown application title
	NETT Status = 0x0D // network time-out
	NETR Status = 0x0E // network not reachable
	RQTL Status = 0x0F // request too large
	RSTL Status = 0x10 // response too large
	SGNP Status = 0x11 // segmentation not possible
	SGER Status = 0x12 // segmentation error
)

var statusNames = [...][2]string{
	{"ok", "acknowledge"},
	{"err", "error"},
	{"sns", "service not supported"},
	{"isc", "insufficient security clearance"},
	{"onp", "operation not possible"},
	{"iar", "inappropriate action requested"},
	{"bsy", "device busy"},
	{"dnr", "data not ready"},
	{"dlk", "data locked"},
	{"rno", "renegotiate request"},
	{"isss", "invalid service sequence state"},
	{"sme", "security mechanism error"},
	{"uat", "unknown application title"},
	{"nett", "network time-out"},
	{"netr", "network not reachable"},
	{"rqtl", "request too large"},
	{"rstl", "response too large"},
	{"sgnp", "segmentation not possible"},
	{"sgerr", "segmentation error"},
}

// String returns the standard's short name and what it means: "isc (insufficient
// security clearance)".
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s][0] + " (" + statusNames[s][1] + ")"
	}
	return fmt.Sprintf("status 0x%02x", byte(s))
}

// Error makes a status that is not OK an error.
func (s Status) Error() string { return "refused by the meter: " + s.String() }
