package echobun_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// tableNames returns the names of the tables of the default bind, in order.
func tableNames(x *echobun.Extension) []string {
	names := []string{}
	for _, table := range x.Metadata().Tables() {
		names = append(names, table.Name)
	}
	return names
}

// Models with relations in each direction, for the order of their tables. The
// children's names come first in the alphabet.
type (
	orderOwner struct {
		bun.BaseModel `bun:"table:z_owners"`
		ID            int64         `bun:",pk"`
		Pets          []*orderPet   `bun:"rel:has-many,join:id=owner_id"`
		Badge         *orderBadge   `bun:"rel:has-one,join:id=owner_id"`
		Groups        []*orderGroup `bun:"m2m:a_memberships,join:Owner=Group"`
	}
	orderPet struct {
		bun.BaseModel `bun:"table:a_pets"`
		ID            int64 `bun:",pk"`
		OwnerID       int64
	}
	orderBadge struct {
		bun.BaseModel `bun:"table:a_badges"`
		ID            int64 `bun:",pk"`
		OwnerID       int64
	}
	orderGroup struct {
		bun.BaseModel `bun:"table:z_groups"`
		ID            int64 `bun:",pk"`
	}
	orderMembership struct {
		bun.BaseModel `bun:"table:a_memberships"`
		OwnerID       int64       `bun:",pk"`
		Owner         *orderOwner `bun:"rel:belongs-to,join:owner_id=id"`
		GroupID       int64       `bun:",pk"`
		Group         *orderGroup `bun:"rel:belongs-to,join:group_id=id"`
	}
)

func TestTableOrder(t *testing.T) {
	t.Parallel()
	type Second struct{ ID int64 }
	type First struct{ ID int64 }
	for _, tt := range []struct {
		name   string
		models []any
		want   []string
	}{
		{"Registration", []any{(*Second)(nil), keyed("table"), (*First)(nil)}, []string{"seconds", "table", "firsts"}},
		{"References", []any{keyed("c", "b"), keyed("b", "a"), keyed("a")}, []string{"a", "b", "c"}},
		{"OnlyParentsMove", []any{keyed("x"), keyed("b", "a"), keyed("y"), keyed("a")}, []string{"x", "a", "b", "y"}},
		{"Self", []any{keyed("b", "b"), keyed("a")}, []string{"b", "a"}},
		{"CaseOfNames", []any{keyed("b", "A"), keyed("a")}, []string{"a", "b"}},
		{"HasMany", []any{(*orderPet)(nil), (*orderGroup)(nil), (*orderOwner)(nil), (*orderMembership)(nil)}, []string{
			"z_owners", "a_pets", "z_groups", "a_memberships",
		}},
		{"HasOne", []any{(*orderBadge)(nil), (*orderMembership)(nil), (*orderOwner)(nil)}, []string{"z_owners", "a_badges", "a_memberships"}},
		{
			"ManyToMany",
			[]any{(*orderMembership)(nil), (*orderOwner)(nil), (*orderGroup)(nil)},
			[]string{"z_owners", "z_groups", "a_memberships"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}, tt.models...)
			got := tableNames(x)
			if tt.name == "ManyToMany" || tt.name == "HasMany" { // Parents may come in either order.
				requireBefore(t, got, "z_owners", "a_memberships")
				requireBefore(t, got, "z_groups", "a_memberships")
				require.ElementsMatch(t, tt.want, got)
				return
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func requireBefore(t *testing.T, names []string, parent, child string) {
	t.Helper()
	require.Contains(t, names, parent)
	require.Contains(t, names, child)
	require.Less(t, slices.Index(names, parent), slices.Index(names, child), "%s before %s: %v", parent, child, names)
}

func TestTableOrderWithCycle(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)},
		keyed("child", "egg"), keyed("egg", "hen"), keyed("hen", "egg", "farm"), keyed("farm"))
	names := tableNames(x)
	require.Len(t, names, 4)
	requireBefore(t, names, "farm", "hen")
	requireBefore(t, names, "egg", "child")
}
