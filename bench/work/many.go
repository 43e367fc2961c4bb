package work

import (
	"fmt"
	"reflect"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// models returns n struct types as models, each with a table of its own and
// six columns. They differ in size too: Bun's registry tells types apart by
// size first, and is slow with many of one size.
func models(n int) []any {
	all := make([]any, n)
	for i := range all {
		field := func(name string, t reflect.Type, tag string) reflect.StructField {
			return reflect.StructField{Name: name, Type: t, Tag: reflect.StructTag(tag)}
		}
		base := field("BaseModel", reflect.TypeFor[bun.BaseModel](), fmt.Sprintf(`bun:"table:many_%d"`, i))
		base.Anonymous = true
		all[i] = reflect.New(reflect.StructOf([]reflect.StructField{
			base,
			field("ID", reflect.TypeFor[int64](), `bun:",pk,autoincrement"`),
			field("Name", reflect.TypeFor[string](), ""),
			field("Email", reflect.TypeFor[string](), ""),
			field("Active", reflect.TypeFor[bool](), ""),
			field("Score", reflect.TypeFor[float64](), ""),
			field("CreatedAt", reflect.TypeFor[time.Time](), ""),
			field("Pad", reflect.ArrayOf(i%100, reflect.TypeFor[int64]()), `bun:"-"`),
		})).Interface()
	}
	return all
}

// bindKey is what the binds are called.
func bindKey(i int) string { return fmt.Sprintf("bind%d", i) }

// binds is a configuration of n binds, which are never opened unless used.
func binds(n int) echobun.Config {
	cfg := echobun.Config{Binds: echobun.Binds{}}
	for i := range n {
		cfg.Binds[bindKey(i)] = echobun.EngineOptions{URL: "sqlite://"}
	}
	return cfg
}

// routed is on one of the binds.
type routed struct {
	bun.BaseModel `bun:"table:routed"`

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

func (*routed) BindKey() string { return bindKey(0) }
