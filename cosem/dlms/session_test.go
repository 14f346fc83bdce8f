package dlms

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/cosem"
	"github.com/openusm/meter/cosem/apdu"
	"github.com/openusm/meter/cosem/security"
	"github.com/openusm/meter/obis"
)

// opened returns a session of a device with one register, and a client's association with it.
func opened(t testing.TB, access Access, cfg *Config) (*session, *Association) {
	device := &Exposed{}
	device.Update(obis.Meter{ID: "X"}, []obis.Reading{{Code: obis.MustParse("1-0:1.8.0"), Value: obis.Int(5, 0), Unit: obis.WattHour}}, nil)
	server, err := NewServer(&ServerConfig{Devices: map[uint16]Device{1: device}, Access: []Access{access}})
	require.NoError(t, err)
	s := newSession(&server.cfg, device, Partner{Client: 16, Server: 1})
	a, err := NewAssociation(cfg)
	require.NoError(t, err)
	request, err := a.Request()
	require.NoError(t, err)
	more, err := a.Accept(bytes.Clone(s.handle(request)[0]))
	require.NoError(t, err)
	if more {
		proof, err := a.Prove()
		require.NoError(t, err)
		d := cosem.OctetString(proof)
		answer := ask(t, s, a, apdu.ActionRequestNormal{Invoke: 0xC1, Parameters: &d,
			Method: cosem.Method{Class: cosem.ClassAssociationLN, Name: associationName, Index: 1}})
		b, _ := answer.(apdu.ActionResponseNormal).Return.Data.Bytes()
		require.NoError(t, a.Check(b))
	}
	return s, a
}

func ask(t testing.TB, s *session, a *Association, p apdu.PDU) apdu.PDU {
	plain, err := p.AppendBinary(nil)
	require.NoError(t, err)
	protected, err := a.Protect(plain)
	require.NoError(t, err)
	answer, _, err := a.Unprotect(s.handle(protected)[0])
	require.NoError(t, err)
	out, err := parse(answer)
	require.NoError(t, err)
	return out
}

var energyValue = apdu.GetRequestNormal{Invoke: 0xC1, Get: apdu.Get{Attribute: cosem.Attribute{
	Class: cosem.ClassRegister, Name: obis.MustParse("1-0:1.8.0"), Index: 2}}}

func suite0(title byte) *Security {
	return &Security{Title: security.Title{'A', 'B', 'C', 0, 0, 0, 0, title},
		Unicast: bytes.Repeat([]byte{1}, 16), Authentication: bytes.Repeat([]byte{2}, 16), Counters: &security.MemoryCounters{}}
}

func TestSessionRefusesReplayAndForgery(t *testing.T) {
	s, a := opened(t, Access{Auth: apdu.MechanismGMAC, Security: suite0(2), Require: security.Authenticated | security.Encrypted},
		&Config{Auth: apdu.MechanismGMAC, Security: suite0(1)})
	require.IsType(t, apdu.GetResponseNormal{}, ask(t, s, a, energyValue))
	plain, err := energyValue.AppendBinary(nil)
	require.NoError(t, err)
	protected, err := a.Protect(plain)
	require.NoError(t, err)
	protected = bytes.Clone(protected)
	refused := func(b []byte) apdu.ExceptionResponse {
		p, err := parse(s.handle(b)[0])
		require.NoError(t, err)
		require.IsType(t, apdu.ExceptionResponse{}, p)
		return p.(apdu.ExceptionResponse)
	}
	forged := bytes.Clone(protected)
	forged[len(forged)-1] ^= 1
	require.Equal(t, apdu.DecipheringError, refused(forged).Service)
	p, err := parse(bytes.Clone(s.handle(protected)[0]))
	require.NoError(t, err)
	require.IsType(t, apdu.GeneralCiphered{}, p)
	replayed := refused(protected)
	require.Equal(t, apdu.InvocationCounterError, replayed.Service)
	require.Positive(t, replayed.Counter)
	require.Equal(t, apdu.OperationNotPossible, refused(plain).Service, "a plain request where protection is required")
	require.IsType(t, apdu.GetResponseNormal{}, ask(t, s, a, energyValue), "and the association goes on")
}

// Meters leave out what they like: an AARE without user-information, without
// diagnostic-free fields, or with the protocol version in front is accepted.
func TestAcceptsPoorAnswers(t *testing.T) {
	for name, hex := range map[string]string{
		"without user-information": "6117a109060760857405080101a203020100a305a103020100",
		"with protocol-version":    "612d80020780a109060760857405080101a203020100a305a103020100be10040e0800065f1f040000101d00800007",
		"conformance without 1F":   "6128a109060760857405080101a203020100a305a103020100be0f040d0800065f040000101d00800007",
		"with quality of service":  "612aa109060760857405080101a203020100a305a103020100be11040f080100065f1f040000101d00800007",
		"provider says null":       "6129a109060760857405080101a203020100a305a203020100be10040e0800065f1f040000101d00800007",
	} {
		t.Run(name, func(t *testing.T) {
			a, err := NewAssociation(nil)
			require.NoError(t, err)
			_, err = a.Request()
			require.NoError(t, err)
			more, err := a.Accept(unhexKey(t, hex))
			require.NoError(t, err)
			require.False(t, more)
			require.NotZero(t, a.Conformance()&apdu.ServiceGet)
		})
	}
}

// Without a scaler nothing is guessed.
func TestMissingScaler(t *testing.T) {
	register := cosem.Register{Class: energyValue.Attribute.Class, Name: energyValue.Attribute.Name, Value: cosem.Uint32(5)}
	readings := register.AppendReadings(nil)
	require.Len(t, readings, 1)
	require.Equal(t, obis.ScalerUnknown, readings[0].Quality.Flags)
	require.Equal(t, obis.UnitUnknown, readings[0].Unit)
}

func FuzzSession(f *testing.F) {
	for _, p := range []apdu.PDU{energyValue, apdu.GetRequestNext{Invoke: 0xC1, Block: 1}, apdu.AccessRequest{Invoke: 1 << 30},
		apdu.ReadRequest{List: []apdu.Variable{{Kind: apdu.VariableName, Name: 0xFA08}}}} {
		b, _ := p.AppendBinary(nil)
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, short := range []bool{false, true} {
			s, _ := opened(t, Access{}, &Config{ShortNames: short, MaxPDU: 64})
			for _, b := range [][]byte{first, second, first} {
				for _, answer := range s.handle(bytes.Clone(b)) {
					_, err := parse(answer)
					require.NoError(t, err)
				}
			}
		}
	})
}
