package echobun

import (
	"database/sql/driver"
	"runtime"
	"slices"
	"strings"

	"github.com/echobun/echobun/internal/wire"
)

// A driver may lend its bytes: once the next row is read, they are of that one.
// Database/sql copies them for its own destinations, and Bun for all but an any,
// alone or in a slice, which would show the text of another row later.

// own makes the bytes of a row its reader's, if it is one that keeps them.
func (r *rows) own(row []driver.Value) {
	if r.lending == lendingUnknown {
		r.lending = lendingDone
		if _, lends := r.inner.(wire.LentRows); lends && intoVariables() {
			r.lending = lendingCopied
		}
	}
	if r.lending != lendingCopied {
		return
	}
	for i, v := range row {
		if b, ok := v.([]byte); ok {
			row[i] = slices.Clone(b)
		}
	}
}

// What is known of a driver's bytes and of who reads them.
const (
	lendingUnknown int8 = iota
	lendingDone         // They need no copy.
	lendingCopied
)

// intoVariables reports whether it is Bun that reads a row, for variables or
// slices of them. As with [mapped], nothing else tells.
func intoVariables() bool {
	var pcs [16]uintptr
	for _, pc := range pcs[:runtime.Callers(4, pcs[:])] {
		name := ""
		if f := runtime.FuncForPC(pc - 1); f != nil {
			name = f.Name()
		}
		if !strings.HasPrefix(name, "database/sql.") {
			return name == "github.com/uptrace/bun.(*sliceModel).ScanRows" || name == "github.com/uptrace/bun.(*scanModel).ScanRows"
		}
	}
	return false
}
