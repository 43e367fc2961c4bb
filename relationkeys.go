package echobun

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"reflect"

	"github.com/uptrace/bun/schema"
)

// checkRelation returns an error if a relation to a model of e cannot be used.
// Those to other binds are taken out later, and using one fails by name.
func (x *Extension) checkRelation(e *engine, rel *schema.Relation) error {
	home, err := x.home(rel.JoinTable.Type)
	var unknown *UnknownBindError
	switch {
	case errors.As(err, &unknown):
		return nil
	case err != nil:
		return err
	case home != e:
		return nil
	}

	switch rel.Type {
	case schema.HasManyRelation:
		return checkKeys(rel.BasePKs, rel.JoinPKs)
	case schema.ManyToManyRelation:
		return checkKeys(rel.BasePKs, rel.M2MBasePKs)
	}
	return nil
}

// checkKeys returns an error if Bun cannot tell which rows of a relation belong
// to which of their parents. It looks them up in a map by the keys' Go values,
// where an int32 is never an int64 and a slice is a panic, in the middle of
// reading rows.
func checkKeys(base, other []*schema.Field) error {
	for i := range min(len(base), len(other)) {
		a, b := keyType(base[i]), keyType(other[i])
		switch {
		case a == nil || b == nil: // A Valuer's value tells.
		case !a.Comparable() || !b.Comparable():
			return fmt.Errorf("its keys %s and %s are of a type that Bun cannot look up: use a string or an array", keyName(base[i]), keyName(other[i]))
		case a != b:
			return fmt.Errorf("its keys %s and %s are of two Go types, which Bun never finds equal: give both the same one",
				keyName(base[i]), keyName(other[i]))
		}
	}
	return nil
}

func keyName(f *schema.Field) string {
	return fmt.Sprintf("%s.%s (%s)", f.Table.Type.Name(), f.GoName, f.StructField.Type)
}

// keyType returns the Go type of a key's values as Bun compares them, or nil if
// it is not known before there is one.
func keyType(f *schema.Field) reflect.Type {
	if f.IndirectType.Kind() == reflect.Interface {
		return nil
	}
	if !reflect.PointerTo(f.IndirectType).Implements(reflect.TypeFor[sqldriver.Valuer]()) {
		return f.IndirectType
	}
	switch f.IndirectType {
	case reflect.TypeFor[sql.NullInt64](), reflect.TypeFor[sql.NullInt32](), reflect.TypeFor[sql.NullInt16](), reflect.TypeFor[sql.NullByte]():
		return reflect.TypeFor[int64]()
	case reflect.TypeFor[sql.NullString]():
		return reflect.TypeFor[string]()
	}
	return nil
}
