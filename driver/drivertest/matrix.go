package drivertest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// The matrix of values: each Go type that a field may have, with values of it,
// written in each way, then read, found and told apart. A value comes back as
// it was, or is refused before it is stored.

// A valueCase is a type of a field, with values of it.
type valueCase struct {
	name   string
	tag    string       // Of the field, behind its name.
	typ    reflect.Type // Default: that of the first value.
	values []any

	only   []string // The databases that have it, by their dialect's name. Default: all.
	opaque bool     // The databases do not compare such values.
	fields bool     // By its Go type alone a value would be written in another way.
	// coarse is what makes of a value what the column is said to keep of it.
	// Default: all of it.
	coarse func(any) any
}

// A valueTable is a table of one column, with a row for each value and way.
type valueTable struct {
	database
	valueCase

	table  string
	row    reflect.Type
	stored map[int64]any     // By key.
	faults map[string]string // What was wrong the first time, by step.
}

// The ways to write a value.
var valueWays = []string{"field", "map row", "argument"}

func (vt *valueTable) ways() []string {
	if vt.fields {
		return valueWays[:1]
	}
	return valueWays
}

func (s suite) testValueMatrix(t *testing.T) {
	db := s.open(t)
	name := db.Dialect().Name().String()
	for i, c := range valueCases() {
		if len(c.only) > 0 && !slices.Contains(c.only, name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			faults := newValueTable(db, c, fmt.Sprintf("matrix_%d", i)).check(t)
			steps, exact := decidedSteps(name, c.name)
			for step, fault := range faults {
				assert.Contains(t, steps, step, "a value is changed, lost or badly refused: %s", fault)
			}
			for _, step := range steps {
				assert.True(t, !exact || faults[step] != "", "it is cured, take it off the list: %s", step)
			}
		})
	}
}

func newValueTable(db database, c valueCase, table string) *valueTable {
	if c.typ == nil {
		c.typ = reflect.TypeOf(c.values[0])
	}
	return &valueTable{database: db, valueCase: c, table: table, row: valueRow(table, c.typ, c.tag), stored: make(map[int64]any), faults: make(map[string]string)}
}

// valueRow makes the type of a model with one column.
func valueRow(table string, typ reflect.Type, tag string) reflect.Type {
	return reflect.StructOf([]reflect.StructField{
		{Name: "BaseModel", Anonymous: true, Type: reflect.TypeFor[bun.BaseModel](), Tag: reflect.StructTag(`bun:"table:` + table + `"`)},
		{Name: "ID", Type: reflect.TypeFor[int64](), Tag: `bun:"id,pk"`},
		{Name: "V", Type: typ, Tag: reflect.StructTag(`bun:"v,` + tag + `"`)},
	})
}

// check returns what is wrong, by the step that shows it.
func (vt *valueTable) check(t *testing.T) map[string]string {
	t.Helper()
	if _, err := vt.NewCreateTable().Model(reflect.New(vt.row).Interface()).Exec(t.Context()); err != nil {
		vt.fault("table", nil, err)
		return vt.faults
	}
	for i, v := range vt.values {
		for j, way := range vt.ways() {
			vt.write(t, int64(10*i+j), v, way)
		}
	}
	all := reflect.New(reflect.SliceOf(vt.row))
	if err := vt.NewSelect().Model(all.Interface()).Scan(t.Context()); err != nil {
		vt.fault("all rows", nil, err)
	}
	if !vt.opaque {
		vt.find(t)
		vt.conflict(t)
	}
	return vt.faults
}

func (vt *valueTable) fault(step string, v, how any) {
	if _, there := vt.faults[step]; !there {
		vt.faults[step] = label(v) + ": " + strings.ToValidUTF8(strings.ReplaceAll(abbreviated(fmt.Sprint(how)), "\n", " "), "?")
	}
}

// write writes a value and reads it back.
func (vt *valueTable) write(t *testing.T, id int64, v any, way string) {
	t.Helper()
	refused, err := vt.insert(t, vt.table, id, v, way)
	if refused {
		return
	}
	if err != nil {
		vt.fault(way, v, err)
		return
	}
	vt.stored[id] = vt.kept(v)
	got := reflect.New(vt.row)
	if err := vt.NewSelect().Model(got.Interface()).Where("id = ?", id).Scan(t.Context()); err != nil {
		vt.fault(way+", read", v, err)
		return
	}
	if back := got.Elem().FieldByName("V").Interface(); !sameValue(vt.kept(v), vt.kept(back)) || !inUTC(reflect.ValueOf(back)) {
		vt.fault(way+", changed", v, label(back))
	}
}

// insert inserts a row. It reports whether that was refused as it should be.
func (vt *valueTable) insert(t *testing.T, table string, id int64, v any, way string) (refused bool, err error) {
	t.Helper()
	var statement fmt.Stringer
	switch way {
	case "field":
		q := vt.NewInsert().Model(vt.model(id, v).Interface()).ModelTableExpr("?", bun.Ident(table))
		statement = q
		_, err = q.Exec(t.Context())
	case "map row":
		q := vt.NewInsert().Model(&map[string]any{"id": id, "v": v}).Table(table)
		statement = q
		_, err = q.Exec(t.Context())
	default:
		q := vt.NewRaw("INSERT INTO ? (id, v) VALUES (?, ?)", bun.Ident(table), id, v)
		statement = q
		_, err = q.Exec(t.Context())
	}
	if err == nil {
		return false, nil
	}
	return vt.refuses(statement, err), err
}

// refuses reports whether an error says that a value cannot be stored: by its
// class, which for MariaDB's JSON is that of a check, or because of what a dialect has written in the value's place, which
// echobun finds before the statement is sent.
func (vt *valueTable) refuses(statement fmt.Stringer, err error) bool {
	return vt.drv.Classify(err)&(driver.InvalidValue|driver.Check) != 0 || strings.Contains(statement.String(), "?!(")
}

func (vt *valueTable) model(id int64, v any) reflect.Value {
	row := reflect.New(vt.row)
	row.Elem().FieldByName("ID").SetInt(id)
	if v != nil {
		row.Elem().FieldByName("V").Set(reflect.ValueOf(v))
	}
	return row
}

func (vt *valueTable) kept(v any) any {
	if vt.coarse != nil && v != nil {
		return vt.coarse(v)
	}
	return v
}

// find looks for each value with = and IN, as a field and as an argument.
func (vt *valueTable) find(t *testing.T) {
	t.Helper()
	for _, v := range vt.values {
		if isNull(v) {
			continue
		}
		for way, q := range map[string]*bun.SelectQuery{
			"found by a field":     vt.NewSelect().Model(vt.model(0, v).Interface()).WherePK("v"),
			"found by an argument": vt.NewSelect().Model(reflect.New(vt.row).Interface()).Where("v = ?", v),
			"found in a list":      vt.NewSelect().Model(reflect.New(vt.row).Interface()).Where("v IN (?)", bun.List([]any{v})),
		} {
			var ids []int64
			err := q.Column("id").Order("id").Scan(t.Context(), &ids)
			want := vt.keysOf(v)
			switch {
			case err != nil && vt.refuses(q, err):
			case err != nil:
				vt.fault(way, v, err)
			case !slices.Equal(want, ids):
				vt.fault(way, v, fmt.Sprintf("rows %d in place of %d", ids, want))
			}
		}
	}
}

// keysOf returns the keys of the rows that have a value.
func (vt *valueTable) keysOf(v any) []int64 {
	var ids []int64
	for id, stored := range vt.stored {
		if sameValue(vt.kept(v), stored) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// conflict requires that a unique column takes every value once.
func (vt *valueTable) conflict(t *testing.T) {
	t.Helper()
	table := vt.table + "_unique"
	_, err := vt.NewCreateTable().Model(reflect.New(valueRow(table, vt.typ, vt.tag+",unique")).Interface()).Exec(t.Context())
	if err != nil {
		vt.fault("unique column", nil, err)
		return
	}
	var there []any
	for i, v := range vt.values {
		for j, way := range vt.ways() {
			refused, err := vt.insert(t, table, int64(10*i+j), v, way)
			again := !isNull(v) && slices.ContainsFunc(there, func(other any) bool { return sameValue(vt.kept(v), other) })
			switch {
			case refused:
			case err == nil && again:
				vt.fault(way+", unique", v, "stored twice")
			case err == nil:
				there = append(there, vt.kept(v))
			case !again || vt.drv.Classify(err)&driver.Unique == 0:
				vt.fault(way+", unique", v, err)
			}
		}
	}
}
