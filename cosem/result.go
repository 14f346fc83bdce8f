package cosem

import "strconv"

// DataAccessResult is a server's answer to a read or write that it did not carry out; 0 is success.
type DataAccessResult uint8

// The data-access-results of IEC 62056-5-3.
const (
	Success                 DataAccessResult = 0
	HardwareFault           DataAccessResult = 1
	TemporaryFailure        DataAccessResult = 2
	ReadWriteDenied         DataAccessResult = 3
	ObjectUndefined         DataAccessResult = 4
	ObjectClassInconsistent DataAccessResult = 9
	ObjectUnavailable       DataAccessResult = 11
	TypeUnmatched           DataAccessResult = 12
	ScopeOfAccessViolated   DataAccessResult = 13
	DataBlockUnavailable    DataAccessResult = 14
	LongGetAborted          DataAccessResult = 15
	NoLongGetInProgress     DataAccessResult = 16
	LongSetAborted          DataAccessResult = 17
	NoLongSetInProgress     DataAccessResult = 18
	DataBlockNumberInvalid  DataAccessResult = 19
	OtherReason             DataAccessResult = 250
)

var dataAccessResults = map[DataAccessResult]string{
	0: "success", 1: "hardware-fault", 2: "temporary-failure", 3: "read-write-denied", 4: "object-undefined",
	9: "object-class-inconsistent", 11: "object-unavailable", 12: "type-unmatched", 13: "scope-of-access-violated",
	14: "data-block-unavailable", 15: "long-get-aborted", 16: "no-long-get-in-progress", 17: "long-set-aborted",
	18: "no-long-set-in-progress", 19: "data-block-number-invalid", 250: "other-reason",
}

// String returns the name of the standard.
func (r DataAccessResult) String() string { return resultName(dataAccessResults[r], uint8(r)) }

// Error makes a refusal an error: "cosem: object-undefined".
func (r DataAccessResult) Error() string { return "cosem: " + r.String() }

// ActionResult is a server's answer to the invocation of a method; 0 is success.
type ActionResult uint8

// The action-results that differ in meaning from a [DataAccessResult] of the same number.
const (
	LongActionAborted      ActionResult = 15
	NoLongActionInProgress ActionResult = 16
)

// String returns the name of the standard.
func (r ActionResult) String() string {
	switch {
	case r == LongActionAborted:
		return "long-action-aborted"
	case r == NoLongActionInProgress:
		return "no-long-action-in-progress"
	case r > 16 && r < 250:
		return resultName("", uint8(r))
	}
	return DataAccessResult(r).String()
}

// Error makes a refusal an error: "cosem: action: read-write-denied".
func (r ActionResult) Error() string { return "cosem: action: " + r.String() }

func resultName(name string, n uint8) string {
	if name == "" {
		return "result " + strconv.Itoa(int(n))
	}
	return name
}
