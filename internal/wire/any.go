package wire

import (
	"bytes"
	"reflect"

	"github.com/uptrace/bun/schema"
)

// replaceInterfaces makes fields of an interface type take what is read. Bun
// 1.3 reads into what they hold, and fails if that is no pointer: an INSERT
// that has them returned is done then, and reported as failed. The bytes of
// the driver's, which are only lent, it keeps.
func replaceInterfaces(t *schema.Table) {
	for name, f := range t.FieldMap {
		if name == f.Name && f.Scan != nil && f.StructField.Type.Kind() == reflect.Interface {
			f.Scan = replacing(f.Scan)
		}
	}
}

func replacing(scan schema.ScannerFunc) schema.ScannerFunc {
	return func(dest reflect.Value, src any) error {
		if b, ok := src.([]byte); ok {
			src = bytes.Clone(b)
		}
		if dest.Kind() != reflect.Interface || dest.IsNil() || dest.Elem().Kind() == reflect.Pointer {
			return scan(dest, src)
		}
		was := dest.Elem()
		dest.SetZero()
		err := scan(dest, src)
		if err != nil {
			dest.Set(was)
		}
		return err
	}
}
