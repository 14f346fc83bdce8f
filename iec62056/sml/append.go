package sml

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/openusm/meter/obis"
)

// SetEntries gives a list its registers.
func (l *List) SetEntries(entries []Entry) {
	l.entries, l.count = nil, len(entries)
	for _, e := range entries {
		l.entries = e.appendBinary(l.entries)
	}
}

// Message returns the GetListResponse that carries the list.
func (l List) Message(transactionID []byte) Message {
	b := appendTL(nil, typeList, 7)
	b = appendOctets(b, l.ClientID)
	b = appendOctets(b, l.ServerID)
	b = appendOctets(b, l.Name)
	b = appendTime(b, l.SensorTime)
	b = append(appendTL(b, typeList, l.count), l.entries...)
	b = appendOctets(b, l.Signature)
	b = appendTime(b, l.GatewayTime)
	return Message{TransactionID: transactionID, Tag: TagGetListRes, Body: b}
}

func (e Entry) appendBinary(b []byte) []byte {
	b = appendOctets(append(b, 0x77), e.Name)
	if e.HasStatus {
		b = appendUnsigned(b, e.Status)
	} else {
		b = append(b, 0x01)
	}
	b = appendTime(b, e.Time)
	if e.Unit != obis.UnitUnknown {
		b = append(b, 0x62, byte(e.Unit))
	} else {
		b = append(b, 0x01)
	}
	if e.Value.Kind() == obis.KindInt || e.Value.Kind() == obis.KindUint {
		b = append(b, 0x52, byte(e.Value.Exp()))
	} else {
		b = append(b, 0x01)
	}
	return appendOctets(appendValue(b, e.Value), e.Signature)
}

// appendValue appends a value; what SML has no type for is absent.
func appendValue(b []byte, v obis.Value) []byte {
	if m, _, ok := v.Decimal(); ok {
		return appendSigned(b, m)
	}
	if m, _, ok := v.Uint64(); ok {
		return appendUnsigned(b, m)
	}
	if raw, ok := v.Bytes(); ok {
		if v.Kind() == obis.KindTree {
			return append(b, raw...)
		}
		return appendOctets(b, raw)
	}
	if n, ok := v.Enum(); ok && v.Kind() == obis.KindBool {
		return append(b, 0x42, byte(n))
	}
	return append(b, 0x01)
}

func appendUnsigned(b []byte, v uint64) []byte {
	n := max(1, (bits.Len64(v)+7)/8)
	return appendNumber(appendTL(b, typeUnsigned, n), v, n)
}

func appendSigned(b []byte, v int64) []byte {
	n := 1
	for n < 8 && (v < -1<<(8*n-1) || v >= 1<<(8*n-1)) {
		n++
	}
	return appendNumber(appendTL(b, typeInteger, n), uint64(v), n)
}

func appendNumber(b []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// appendTime appends a seconds index or a timestamp in UTC; other times are absent.
func appendTime(b []byte, t obis.Time) []byte {
	if s, ok := t.Relative(); ok {
		return binary.BigEndian.AppendUint32(append(b, 0x72, 0x62, 0x01, 0x65), uint32(s))
	}
	at, ok := t.Instant(obis.Clock{Zone: time.UTC})
	if !ok {
		return append(b, 0x01)
	}
	return binary.BigEndian.AppendUint32(append(b, 0x72, 0x62, 0x02, 0x65), uint32(at.Unix()))
}

// Open returns the OpenResponse by which a file of a meter begins.
func Open(transactionID, fileID, serverID []byte) Message {
	b := append(appendTL(nil, typeList, 6), 0x01, 0x01)
	b = appendOctets(appendOctets(b, fileID), serverID)
	return Message{TransactionID: transactionID, Tag: TagOpenRes, Body: append(b, 0x01, 0x01)}
}

// Close returns the CloseResponse by which it ends.
func Close(transactionID []byte) Message {
	return Message{TransactionID: transactionID, Tag: TagCloseRes, Body: []byte{0x71, 0x01}}
}
