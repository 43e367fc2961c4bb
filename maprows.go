package echobun

import (
	"database/sql/driver"
	"reflect"
	"runtime"
	"strings"

	"github.com/echobun/echobun/internal/wire"
)

// A map has no fields that say what type they want, so Bun takes what a driver
// gives: a sql.NullString on MySQL for a text that may be null, an int64 on two
// of three databases for a bool. Rows that go into maps are therefore converted
// here, as docs/map-rows.md says.

// mapped reports whether rows go into maps, when Bun asks for the types of the
// columns. It does so for maps alone, but others may, whose values have to stay
// what their driver says; so it looks who asks. Nothing else tells: a builder
// gets its destination behind the connection's back, in Bun's own transactions
// it has the same connection as the application, which may have a builder's rows
// for itself (SelectQuery.Rows), and give rows of its own to Bun (DB.ScanRows).
func mapped() bool {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "database/sql.") {
			return strings.HasPrefix(frame.Function, "github.com/uptrace/bun.(*map") && strings.HasSuffix(frame.Function, "Model).ScanRows")
		}
		if !more {
			return false
		}
	}
}

// toMaps converts the row that was read last, which is the first if Bun reads
// one map, and has all that follow converted.
func (r *rows) toMaps() {
	inner, ok := r.inner.(wire.MapRows)
	if !ok {
		return
	}
	r.columns = inner.MapColumns()
	convert(r.columns, r.last)
}

// convert makes of the values of a row, if there is one, those of a map.
func convert(columns []wire.Convert, row []driver.Value) {
	for i, to := range columns {
		if to != nil && i < len(row) {
			row[i] = to(row[i])
		}
	}
}

// bytesType has Bun copy what it puts into a map if that is bytes, which belong
// to the driver.
var bytesType = reflect.TypeFor[[]byte]()
