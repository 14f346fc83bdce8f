package apdu

import "github.com/openusm/meter/cosem"

// Variable is what an SN service names: an attribute or a method by its short
// name, or the block of a long answer or request.
type Variable struct {
	Kind      VariableKind
	Name      uint16           // of the kinds name and parameterized
	Selection *cosem.Selection // of the kind parameterized
	Block
}

// VariableKind is the choice of a variable-access-specification.
type VariableKind uint8

// The choices of a variable-access-specification.
const (
	VariableName          VariableKind = 2
	VariableParameterized VariableKind = 4
	VariableBlockNumber   VariableKind = 5 // the block that follows this number is wanted
	VariableReadBlock     VariableKind = 6 // a part of a long read request
	VariableWriteBlock    VariableKind = 7 // a part of a long write request
)

// ReadRequest reads attributes by their short names.
type ReadRequest struct{ List []Variable }

// WriteRequest writes attributes, or invokes methods, by their short names.
type WriteRequest struct {
	List []Variable
	Data []cosem.Data
}

// UnconfirmedWrite is a WriteRequest that is not answered.
type UnconfirmedWrite struct {
	List []Variable
	Data []cosem.Data
}

// InformationReport tells of attributes without having been asked.
type InformationReport struct {
	Time []byte // text of a GeneralizedTime; nil for none
	List []Variable
	Data []cosem.Data
}

// Read is one answer of a ReadResponse.
type Read struct {
	Kind ReadKind
	Result
	Block
}

// ReadKind is the choice of an item of a ReadResponse.
type ReadKind uint8

// The choices of an item of a ReadResponse.
const (
	ReadData        ReadKind = 0
	ReadError       ReadKind = 1
	ReadBlock       ReadKind = 2 // a part of a long answer
	ReadBlockNumber ReadKind = 3 // the block of a long request that is wanted next
)

// ReadResponse answers a ReadRequest, item by item.
type ReadResponse struct{ List []Read }

// Written is one answer of a WriteResponse.
type Written struct {
	Kind   uint8                  // 0 success, 1 error, 2 block number
	Code   cosem.DataAccessResult // of kind 1
	Number uint16                 // of kind 2
}

// WriteResponse answers a WriteRequest, item by item.
type WriteResponse struct{ List []Written }

// Name returns "read-request".
func (ReadRequest) Name() string { return "read-request" }

// Name returns "write-request".
func (WriteRequest) Name() string { return "write-request" }

// Name returns "unconfirmed-write-request".
func (UnconfirmedWrite) Name() string { return "unconfirmed-write-request" }

// Name returns "information-report-request".
func (InformationReport) Name() string { return "information-report-request" }

// Name returns "read-response".
func (ReadResponse) Name() string { return "read-response" }

// Name returns "write-response".
func (WriteResponse) Name() string { return "write-response" }

func (r *reader) variables() (list []Variable) {
	for range r.count("variable-access-specification", 3) {
		v := Variable{Kind: VariableKind(r.Uint8("variable-access-specification"))}
		switch v.Kind {
		case VariableName:
			v.Name = r.Uint16("variable-name")
		case VariableParameterized:
			v.Name = r.Uint16("variable-name")
			v.Selection = &cosem.Selection{Selector: r.Uint8("selector"), Parameters: r.data("parameter")}
		case VariableBlockNumber:
			v.Number = uint32(r.Uint16("block-number"))
		case VariableReadBlock:
			v.Block = r.shortBlock()
		case VariableWriteBlock:
			v.Last, v.Number = r.boolean("last-block"), uint32(r.Uint16("block-number"))
		default:
			r.choice("variable-access-specification", uint8(v.Kind))
		}
		list = append(list, v)
	}
	return list
}

// shortBlock reads a block whose number has 16 bits.
func (r *reader) shortBlock() Block {
	return Block{Last: r.boolean("last-block"), Number: uint32(r.Uint16("block-number")), Raw: r.octets("raw-data")}
}

func (r *reader) readRequest() PDU {
	r.Uint8("tag")
	return ReadRequest{r.variables()}
}

func (r *reader) writeRequest() PDU {
	r.Uint8("tag")
	return WriteRequest{r.variables(), r.dataList("list-of-data")}
}

func (r *reader) unconfirmedWrite() PDU {
	r.Uint8("tag")
	return UnconfirmedWrite{r.variables(), r.dataList("list-of-data")}
}

func (r *reader) informationReport() PDU {
	r.Uint8("tag")
	p := InformationReport{}
	if r.optional("current-time") {
		p.Time = r.octets("current-time")
	}
	p.List, p.Data = r.variables(), r.dataList("list-of-data")
	return p
}

func (r *reader) readResponse() PDU {
	r.Uint8("tag")
	p := ReadResponse{}
	for range r.count("read-response", 2) {
		item := Read{Kind: ReadKind(r.Uint8("read-response"))}
		switch item.Kind {
		case ReadData:
			item.Data = r.data("data")
		case ReadError:
			item.Code = r.failure().Code
		case ReadBlock:
			item.Block = r.shortBlock()
		case ReadBlockNumber:
			item.Number = uint32(r.Uint16("block-number"))
		default:
			r.choice("read-response", uint8(item.Kind))
		}
		p.List = append(p.List, item)
	}
	return p
}

func (r *reader) writeResponse() PDU {
	r.Uint8("tag")
	p := WriteResponse{}
	for range r.count("write-response", 1) {
		w := Written{Kind: r.Uint8("write-response")}
		switch w.Kind {
		case 0:
		case 1:
			w.Code = cosem.DataAccessResult(r.Uint8("data-access-error"))
		case 2:
			w.Number = r.Uint16("block-number")
		default:
			r.choice("write-response", w.Kind)
		}
		p.List = append(p.List, w)
	}
	return p
}

func appendVariables(dst []byte, list []Variable) []byte {
	dst = cosem.AppendLength(dst, len(list))
	for _, v := range list {
		dst = append(dst, byte(v.Kind))
		switch v.Kind {
		case VariableName:
			dst = append(dst, byte(v.Name>>8), byte(v.Name))
		case VariableParameterized:
			s := v.Selection
			if s == nil {
				s = &cosem.Selection{}
			}
			dst = appendData(append(dst, byte(v.Name>>8), byte(v.Name), s.Selector), s.Parameters)
		case VariableBlockNumber:
			dst = append(dst, byte(v.Number>>8), byte(v.Number))
		case VariableReadBlock:
			dst = appendShortBlock(dst, v.Block)
		case VariableWriteBlock:
			dst = append(appendBool(dst, v.Last), byte(v.Number>>8), byte(v.Number))
		}
	}
	return dst
}

func appendShortBlock(dst []byte, b Block) []byte {
	return appendOctets(append(appendBool(dst, b.Last), byte(b.Number>>8), byte(b.Number)), b.Raw)
}

// AppendBinary appends the encoding. It never fails.
func (p ReadRequest) AppendBinary(dst []byte) ([]byte, error) {
	return appendVariables(append(dst, TagReadRequest), p.List), nil
}

// AppendBinary appends the encoding. It never fails.
func (p WriteRequest) AppendBinary(dst []byte) ([]byte, error) {
	return AppendDataList(appendVariables(append(dst, TagWriteRequest), p.List), p.Data), nil
}

// AppendBinary appends the encoding. It never fails.
func (p UnconfirmedWrite) AppendBinary(dst []byte) ([]byte, error) {
	return AppendDataList(appendVariables(append(dst, TagUnconfirmedWrite), p.List), p.Data), nil
}

// AppendBinary appends the encoding. It never fails.
func (p InformationReport) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, TagInformationReport)
	if p.Time == nil {
		dst = append(dst, 0)
	} else {
		dst = appendOctets(append(dst, 1), p.Time)
	}
	return AppendDataList(appendVariables(dst, p.List), p.Data), nil
}

// AppendBinary appends the encoding. It never fails.
func (p ReadResponse) AppendBinary(dst []byte) ([]byte, error) {
	dst = cosem.AppendLength(append(dst, TagReadResponse), len(p.List))
	for _, item := range p.List {
		dst = append(dst, byte(item.Kind))
		switch item.Kind {
		case ReadData:
			dst = appendData(dst, item.Data)
		case ReadError:
			dst = append(dst, byte(item.Code))
		case ReadBlock:
			dst = appendShortBlock(dst, item.Block)
		case ReadBlockNumber:
			dst = append(dst, byte(item.Number>>8), byte(item.Number))
		}
	}
	return dst, nil
}

// AppendBinary appends the encoding. It never fails.
func (p WriteResponse) AppendBinary(dst []byte) ([]byte, error) {
	dst = cosem.AppendLength(append(dst, TagWriteResponse), len(p.List))
	for _, w := range p.List {
		dst = append(dst, w.Kind)
		switch w.Kind {
		case 1:
			dst = append(dst, byte(w.Code))
		case 2:
			dst = append(dst, byte(w.Number>>8), byte(w.Number))
		}
	}
	return dst, nil
}
