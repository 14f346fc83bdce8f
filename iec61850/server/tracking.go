package server

import (
	"errors"
	"strings"

	"github.com/openusm/meter/iec61850"
	"github.com/openusm/meter/iec61850/mms"
)

// service is what a client asked for, as service tracking numbers it (ServiceType of IEC 61850-7-2).
type service int64

const (
	setDataValues       service = 8
	createDataSet       service = 13
	deleteDataSet       service = 14
	selectActiveGroup   service = 16
	selectEditGroup     service = 17
	confirmEditGroup    service = 19
	setBufferedReport   service = 24
	setUnbufferedReport service = 26
	setLog              service = 28
	setGOOSE            service = 34
	selectObject        service = 43
	selectWithValue     service = 44
	cancelControl       service = 45
	operateObject       service = 46
	operateAtTime       service = 48
	setFile             service = 50
	deleteFile          service = 51
)

// serviceErrors are the numbers of ServiceError of IEC 61850-7-2.
var serviceErrors = map[mms.AccessError]int64{
	mms.ObjectNonExistent:           1, // instance-not-available
	mms.ObjectAccessDenied:          3, // access-violation
	mms.ObjectAccessUnsupported:     3,
	mms.TemporarilyUnavailable:      4,  // access-not-allowed-in-current-state
	mms.ObjectValueInvalid:          5,  // parameter-value-inappropriate
	mms.ObjectAttributeInconsistent: 6,  // parameter-value-inconsistent
	mms.TypeInconsistent:            10, // type-conflict
}

const failedByServer = 12 // failed-due-to-server-constraint

// findTracking finds the objects in which services are to be noted, which the
// logical nodes LTRK have.
func (s *Server) findTracking() {
	for _, d := range s.model.Devices {
		for _, n := range d.Nodes {
			if n.ClassName() != "LTRK" {
				continue
			}
			for _, o := range n.Objects {
				s.tracking[o.Name] = o
			}
		}
	}
}

// track notes a service in the object of a name, if the model has one. Neither
// the model nor s.mu is locked.
func (s *Server) track(a *association, object, reference string, what service, outcome error, more map[string]iec61850.Value) {
	o := s.tracking[object]
	if o == nil {
		return
	}
	code := int64(0)
	if outcome != nil {
		code = failedByServer
		var access mms.AccessError
		if errors.As(outcome, &access) && serviceErrors[access] != 0 {
			code = serviceErrors[access]
		}
	}
	values := map[string]iec61850.Value{
		"objRef": iec61850.Visible(reference), "serviceType": iec61850.Int(int64(what)), "errorCode": iec61850.Int(code),
		"originatorID": iec61850.Octets(a.address()), "t": iec61850.NewTimestamp(s.cfg.Now(), 10).Value(),
	}
	for name, v := range more {
		values[name] = v
	}
	err := s.model.Update(func(u *iec61850.Update) error {
		for _, attribute := range o.Attributes {
			v, ok := values[attribute.Name]
			if !ok {
				continue
			}
			if fitted, ok := attribute.Type().Fits(v); ok {
				if err := u.Set(attribute, fitted); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		s.cfg.Logger.Warn("service not tracked", "object", object, "error", err)
	}
}

// trackControl notes a request to operate an object.
func (s *Server) trackControl(a *association, it item, v iec61850.Value, c Control, cause AddCause) {
	object := map[string]string{"SPC": "SpcTrk", "DPC": "DpcTrk", "INC": "IncTrk", "ENC": "EncTrk1", "APC": "ApcFTrk"}[it.object.CDC]
	if s.tracking[object] == nil {
		return
	}
	what := map[string]service{"SBO": selectObject, "SBOw": selectWithValue, "Cancel": cancelControl, "Oper": operateObject}[it.name]
	if what == operateObject && !c.At.IsZero() {
		what = operateAtTime
	}
	var outcome error
	if cause != CauseNone {
		outcome = mms.ObjectAccessDenied
	}
	more := map[string]iec61850.Value{"respAddCause": iec61850.Int(int64(cause)), "originatorID": iec61850.Octets([]byte(c.Origin))}
	for i, m := range it.typ.Members {
		more[m.Name] = v.At(i)
	}
	s.track(a, object, c.Reference, what, outcome, more)
}

// trackBlock notes that a client set a member of a control block; values are
// those of the block, with what the client wanted in its place.
func (s *Server) trackBlock(a *association, it item, b block, outcome error, values map[string]iec61850.Value) {
	object, what := b.tracked(it.member)
	s.track(a, object, blockReference(it), what, outcome, values)
}

// blockReference returns DEVICE/LLN0.name of the block of a member.
func blockReference(it item) string {
	parts := strings.Split(it.path, "$")
	return it.domain.name + "/" + parts[0] + "." + parts[2]
}

// trackedName returns the name that a member of a control block has in service tracking.
func trackedName(member string) string {
	switch member {
	case "GI":
		return "gi"
	case "TimeofEntry":
		return "timeOfEntry"
	}
	return strings.ToLower(member[:1]) + member[1:]
}

// snapshot returns the members of a block by the names of service tracking, with
// v for one of them. s.mu is held.
func snapshot(b block, fields []field, member int, v iec61850.Value) map[string]iec61850.Value {
	values := map[string]iec61850.Value{}
	for i, f := range fields {
		value := b.get(i)
		if i == member {
			value = v
		}
		if f.name == "DatSet" || f.name == "LogRef" {
			value = iec61850.Visible(strings.ReplaceAll(value.Text(), "$", "."))
		}
		values[trackedName(f.name)] = value
	}
	return values
}
