package writes

import (
	"database/sql"
	"database/sql/driver"
	"reflect"

	"github.com/echobun/echobun/internal/wire"
)

// Maps is what is known of an answer that Bun may read into maps, in place of
// its builder's model: they get what the rows would have given them.
type Maps struct {
	wire.KeptColumns

	// Asked reports whether it is for maps that the types of the columns are
	// asked for. It goes by who asks: it is called by a driver's rows.
	Asked func() bool

	into bool // It was.
}

// types returns the types of the columns where nobody has noted what a map
// wants, as of an engine of the user's own.
func (m *Maps) types(rows *sql.Rows) ([]reflect.Type, error) {
	if m.Known {
		return nil, nil
	}
	columns, err := rows.ColumnTypes()
	types := make([]reflect.Type, len(columns))
	for i, c := range columns {
		types[i] = c.ScanType()
	}
	return types, err
}

// convert makes of the values of a row those of a map, if that is what it is for.
func (m *Maps) convert(row []driver.Value) {
	if !m.into {
		return
	}
	for i, to := range m.Columns {
		if to != nil && i < len(row) {
			row[i] = to(row[i])
		}
	}
}

// ColumnTypeScanType is asked for maps, for one map after its row was read. It
// has Bun copy what is bytes, and take all else as it is.
func (a *answer) ColumnTypeScanType(i int) reflect.Type {
	if i == 0 && !a.maps.into && a.maps.Known && a.maps.Asked() {
		a.maps.into = true
		a.maps.convert(a.last)
	}
	switch {
	case a.maps.into:
		return reflect.TypeFor[[]byte]()
	case i < len(a.types):
		return a.types[i]
	}
	return reflect.TypeFor[any]()
}
