package psem

// State is how far a conversation has come. The zero State is the beginning.
type State uint8

// The states.
const (
	StateBase       State = iota // nothing but identify
	StateIdentified              // the stations know each other
	StateSession                 // a user is logged on
)

// Next returns the state behind a request that the meter grants, and whether
// the request has a place in this state at all; if not, the answer is ISSS.
func (s State) Next(service Service) (State, bool) {
	switch {
	case service == ServiceIdentify:
		return StateIdentified, s != StateSession
	case service == ServiceTerminate, service == ServiceDisconnect:
		return StateBase, s != StateBase
	case service >= ServiceDeregister && service <= ServiceRegister:
		return s, true // they stand outside of sessions
	case service == ServiceWait:
		return s, s != StateBase
	case service >= ServiceNegotiate && service <= ServiceNegotiate+maxBauds, service == ServiceTiming:
		return s, s == StateIdentified
	case service == ServiceLogon:
		return StateSession, s == StateIdentified
	case service == ServiceLogoff:
		return StateIdentified, s == StateSession
	}
	return s, s == StateSession
}
