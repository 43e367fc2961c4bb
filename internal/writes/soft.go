package writes

import "reflect"

// Failed takes back the time of deletion that Bun has written into the model
// before it sent a soft delete, which has failed: the rows that it is about
// are not deleted.
func Failed(q Builder) {
	t, v, ok := model(q)
	if !ok || !isSoft(q, t) {
		return
	}
	if b, h, _ := parts(q); number(b, h.flags)&withDeleted != 0 {
		return
	}
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Struct {
		return
	}
	for _, row := range elements(v) {
		t.SoftDeleteField.Value(row).SetZero()
	}
}
