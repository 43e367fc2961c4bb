package fields

import (
	"fmt"
	"math"
	"reflect"

	"github.com/uptrace/bun/schema"
)

// cureFloat lets a field of a float read a whole number that comes as an integer:
// SQLite stores it as one in a NUMERIC column, and any sum or count is one.
// database/sql reads it, and Bun does not.
func cureFloat(f *schema.Field) {
	scan, kind := f.Scan, TypeOf(f).Kind()
	f.Scan = func(dest reflect.Value, src any) error {
		n, ok := src.(int64)
		if !ok {
			return scan(dest, src)
		}
		float := float64(n)
		if kind == reflect.Float32 {
			float = float64(float32(n))
		}
		if float >= math.MaxInt64 || int64(float) != n {
			return fmt.Errorf("%d has more digits than a %s: read it into an integer", n, kind)
		}
		return scan(dest, float)
	}
}
