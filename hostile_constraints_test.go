package echobun_test

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// hostileConstraints are names that break out of what quotes them carelessly.
// A comma would end the option of the struct's tag.
var hostileConstraints = []string{
	`x" UNIQUE (a)); DROP TABLE canary; --`, "x` UNIQUE (a)); DROP TABLE canary; -- x", `x'; DROP TABLE canary; --`, `x); DROP TABLE canary; --`,
	`x\"; DROP TABLE canary; --`, "x\n); DROP TABLE canary", "ünïque", "x/*", "?0 ?", "x;y", strings.Repeat("long", 100),
}

// A constraint's name in a model's tag is a name, or is refused; it is never SQL.
func TestHostileConstraints(t *testing.T) {
	t.Parallel()
	for name, dsn := range hostileDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, x, db := newCanary(t, dsn(t))
			for i, constraint := range hostileConstraints {
				model := constrained(i, constraint)
				if err := x.Register(model); err != nil {
					var refused *echobun.ModelError
					require.ErrorAs(t, err, &refused, "%q", constraint)
					continue
				}
				err := x.CreateAll(ctx)
				requireCanary(ctx, t, db)
				if err != nil {
					require.NotErrorIs(t, err, echobun.ErrUnavailable, "%q", constraint)
					t.Logf("%q: %v", constraint, err)
					return // The rest would fail with it.
				}
				insert := func(id int64) error {
					row := reflect.New(reflect.TypeOf(model).Elem())
					row.Elem().FieldByName("ID").SetInt(id)
					row.Elem().FieldByName("A").SetString("same")
					return ran(db.NewInsert().Model(row.Interface()).Exec(ctx))
				}
				require.NoError(t, insert(1), "%q", constraint)
				require.ErrorIs(t, insert(2), echobun.ErrUnique, "%q is there", constraint)
			}
			requireAtRest(t, x)
		})
	}
}

// constrained is a model with a unique constraint of that name.
func constrained(n int, constraint string) any {
	tag := func(text string) reflect.StructTag { return reflect.StructTag("bun:" + strconv.Quote(text)) }
	return reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "BaseModel", Type: reflect.TypeFor[bun.BaseModel](), Anonymous: true, Tag: tag(fmt.Sprint("table:constrained_", n))},
		{Name: "ID", Type: reflect.TypeFor[int64](), Tag: tag(",pk")},
		{Name: "A", Type: reflect.TypeFor[string](), Tag: tag("type:varchar(40),unique:" + constraint)},
	})).Interface()
}
