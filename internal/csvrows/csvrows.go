// Package csvrows reads the small tables that packages embed as CSV files.
package csvrows

import (
	"bytes"
	"encoding/csv"
)

// Read returns the rows below the header. Lines with "#" are comments.
func Read(file []byte) ([][]string, error) {
	r := csv.NewReader(bytes.NewReader(file))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[1:], nil
}
