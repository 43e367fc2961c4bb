package writes

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// Bun may move or rename what its builders keep to themselves: then this has to
// learn it.
func TestBuildersHaveTheirParts(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]hidden{"insert": ofInsert, "update": ofUpdate, "delete": ofDelete} {
		require.NotNil(t, h.conn, name)
		require.NotNil(t, h.returning, name)
		require.NotNil(t, h.returns, name)
		require.NotNil(t, h.filter, name)
		require.NotNil(t, h.flags, name)
		require.NotNil(t, h.columns, name)
		require.NotNil(t, h.with, name)
		require.NotNil(t, h.tables, name)
	}
	require.NotNil(t, ofInsert.values)
	require.NotNil(t, ofInsert.on)
	require.NotNil(t, ofDelete.where)
	require.NotNil(t, ofDelete.order)
	require.NotNil(t, ofDelete.limit)
}

type soft struct {
	ID      int64 `bun:",pk"`
	Deleted int64 `bun:",soft_delete"`
}

func TestForcedDeleteIsNotSoft(t *testing.T) {
	t.Parallel()
	table := &schema.Table{SoftDeleteField: &schema.Field{StructField: reflect.TypeFor[soft]().Field(1)}}
	q := new(bun.DeleteQuery)
	require.True(t, isSoft(q, table))
	require.False(t, isSoft(q.ForceDelete(), table))
	require.False(t, isSoft(new(bun.UpdateQuery), table))
}
