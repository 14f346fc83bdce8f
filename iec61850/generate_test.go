package iec61850

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openusm/meter/internal/golden"
)

func TestGenerated(t *testing.T) { golden.Generated(t, "../internal/gen/iec61850") }

// Every name in the tables leads somewhere, and no class has an attribute twice.
func TestTables(t *testing.T) {
	for _, table := range []map[string][]ClassRow{classes, structures} {
		for name, rows := range table {
			seen := map[string]bool{}
			for _, r := range rows {
				require.False(t, seen[r.Name], "%s.%s", name, r.Name)
				seen[r.Name] = true
				_, basic := BasicType(r.Type)
				require.True(t, basic || structures[r.Type] != nil || r.FC == 0 && classes[r.Type] != nil, "%s.%s %s", name, r.Name, r.Type)
				if r.Enum != "" {
					require.Equal(t, "Enum", r.Type)
					require.Contains(t, enumerations, r.Enum)
				}
			}
		}
	}
	for object, enum := range objectEnums {
		require.Contains(t, enumerations, enum, object)
	}
	for name, values := range enumerations {
		ords, names := map[int]bool{}, map[string]bool{}
		for _, v := range values {
			require.False(t, ords[v.Ord] || names[v.Name], "%s %v", name, v)
			ords[v.Ord], names[v.Name] = true, true
		}
	}
}

func TestEnumeration(t *testing.T) {
	m := &Model{Enums: []Enumeration{{"Beh", []EnumValue{{7, "asleep"}}}}}
	for _, test := range []struct {
		enum, name string
		ord        int
	}{{"Beh", "asleep", 7}, {"SIUnit", "Wh", 72}, {"Multiplier", "k", 3}} {
		e, ok := m.Enumeration(test.enum)
		require.True(t, ok)
		name, ok := e.Text(test.ord)
		require.True(t, ok)
		require.Equal(t, test.name, name)
		ord, ok := e.Ord(name)
		require.True(t, ok)
		require.Equal(t, test.ord, ord)
	}
	_, ok := m.Enumeration("none such")
	require.False(t, ok)
}
