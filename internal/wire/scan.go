package wire

import (
	"reflect"
	"time"

	"github.com/uptrace/bun/schema"
)

// guardScans makes an error of a panic in what scans into a field: a Scan or
// an UnmarshalJSON of the user's, or Bun's own, which panics for types that it
// does not know. It comes while database/sql holds the lock of its rows, which
// a panic leaves locked: to close the rows, the end of their context and of
// their transaction would wait for it for ever.
func guardScans(t *schema.Table) {
	for name, f := range t.FieldMap {
		if name == f.Name && f.Scan != nil && mayPanic(f.StructField.Type) {
			f.Scan = guarded("scanning into "+t.TypeName+"."+f.GoName, f.Scan)
		}
	}
}

// mayPanic reports whether code runs for values of a type that may panic.
func mayPanic(typ reflect.Type) bool {
	if typ.PkgPath() == "" && typ.Name() != "" { // A predeclared one.
		return false
	}
	return typ != reflect.TypeFor[time.Time]() && typ != reflect.TypeFor[[]byte]()
}

func guarded(what string, scan schema.ScannerFunc) schema.ScannerFunc {
	return func(dest reflect.Value, src any) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = Panicked(what, p)
			}
		}()
		return scan(dest, src)
	}
}
