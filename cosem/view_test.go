package cosem

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/obis"
)

var views = []View{
	&RegisterActivation{}, &ScriptTable{}, &SpecialDays{}, &SAPAssignment{}, &ImageTransfer{}, &ActivityCalendar{}, &RegisterMonitor{},
	&SingleActionSchedule{}, &PushSetup{}, &StatusMapping{}, &SecuritySetup{}, &DisconnectControl{}, &Limiter{}, &MBusClient{},
	&Account{}, &Credit{}, &Charge{}, &TokenGateway{},
}

// Every field of a view is an attribute that the catalogue knows, and of its type.
func TestViewsFollowTheCatalogue(t *testing.T) {
	for _, v := range views {
		info, ok := v.Class().Info()
		require.True(t, ok, "%T", v)
		indexes := Attributes(v)
		require.NotEmpty(t, indexes)
		for _, index := range indexes {
			a, ok := info.Attribute(index)
			require.True(t, ok, "%T has no attribute %d", v, index)
			kind, _, _ := strings.Cut(a.Type, "(")
			sample := map[string]Data{
				"boolean": Bool(true), "enum": Enum(1), "unsigned": Uint8(1), "long-unsigned": Uint16(1), "double-long-unsigned": Uint32(1),
				"double-long": Int32(1), "integer": Int8(1), "long": Int16(1), "bit-string": BitString([]byte{0x80}, 3), "array": Array(),
			}[strings.TrimSpace(kind)]
			require.NoError(t, SetAttribute(v, index, sample), "%T attribute %d is %s", v, index, a.Type)
		}
	}
}

func TestUnmarshal(t *testing.T) {
	var table ScriptTable
	name := obis.MustParse("0-0:96.3.10")
	require.NoError(t, SetAttribute(&table, 2, Array(Structure(Uint16(7), Array(
		Structure(Enum(2), Uint16(70), Name(name), Int8(1), Int8(0)))))))
	require.Equal(t, []Script{{7, []ScriptAction{{2, 70, name, 1, Int8(0)}}}}, table.Scripts)

	var push PushSetup
	capture := Capture{Attribute{ClassRegister, obis.MustParse("1-0:1.8.0"), 2}, 0}
	require.NoError(t, SetAttribute(&push, 2, Array(capture.data())))
	require.Equal(t, []Capture{capture}, push.Objects)

	var image ImageTransfer
	require.NoError(t, SetAttribute(&image, 3, BitString([]byte{0xA0}, 4)))
	require.True(t, image.Transferred.Has(0))
	require.False(t, image.Transferred.Has(1))
	require.False(t, image.Transferred.Has(4))

	require.ErrorContains(t, SetAttribute(&image, 2, OctetString(nil)), "Image transfer BlockSize: octet-string does not fit uint32")
	require.ErrorContains(t, Unmarshal(Array(Structure(Uint16(1))), &[]SAP{}), "value[0]: structure does not fit cosem.SAP")
	var n uint8
	require.Error(t, Unmarshal(Uint16(300), &n))
	require.Error(t, Unmarshal(Uint16(3), n))
	require.NoError(t, Unmarshal(Null(), &n))
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Array(Structure(Uint16(7), Array())).Binary())
	f.Fuzz(func(_ *testing.T, b []byte) {
		d, _, err := ParseData(b)
		if err != nil {
			return
		}
		for _, v := range views {
			for _, index := range Attributes(v) {
				_ = SetAttribute(v, index, d)
			}
		}
	})
}
