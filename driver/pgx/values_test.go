package pgx_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

type listed struct {
	bun.BaseModel `bun:"table:listed"`

	ID      int64            `bun:",pk"`
	Names   []*string        `bun:",array"`
	Numbers []*int64         `bun:",array"`
	Nulls   []sql.NullString `bun:",array,type:text[]"`
	Fixed   [2]*string       `bun:",array,type:text[]"`
}

// A NULL in an array is nil, and no other element is: NULL is a text too.
func TestArraysWithNulls(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	_, err := db.NewCreateTable().Model((*listed)(nil)).Exec(t.Context())
	require.NoError(t, err)
	text := func(s string) *string { return &s }
	number := int64(7)
	want := listed{
		ID:      1,
		Names:   []*string{text(`"q" \ 'a', {b}`), nil, text(""), text("NULL"), text("null"), text(" x ")},
		Numbers: []*int64{nil, &number},
		Nulls:   []sql.NullString{{}, {String: "", Valid: true}, {String: "NULL", Valid: true}},
		Fixed:   [2]*string{nil, text("b")},
	}
	_, err = db.NewInsert().Model(&want).Exec(t.Context())
	require.NoError(t, err)
	var got listed
	require.NoError(t, db.NewSelect().Model(&got).Scan(t.Context()))
	require.Equal(t, want, got)

	for array, why := range map[string]string{
		"'[0:1]={a,b}'::text[]": "begins with 1", "'{{a},{b}}'::text[]": "one dimension",
	} {
		err := db.NewSelect().Model(&got).ColumnExpr(array + " AS names").Scan(t.Context())
		require.ErrorContains(t, err, why)
	}
	err = db.NewSelect().Model(&got).ColumnExpr("'{a,b,c}'::text[] AS fixed").Scan(t.Context())
	require.ErrorContains(t, err, "3 elements")
}

// A value for a column of another type is refused by its class; two columns
// that do not go together are not a value.
func TestValuesOfAnotherType(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE TABLE typed (id bigint PRIMARY KEY, doc jsonb)")
	_, err := db.NewRaw("INSERT INTO typed VALUES (1, ?)", []byte{0xff}).Exec(t.Context())
	require.Equal(t, driver.InvalidValue, pgxDriver(t).Classify(err), "%v", err)
	_, err = db.NewRaw("INSERT INTO typed VALUES (1, ?)", []byte(`{"a": "it's"}`)).Exec(t.Context())
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE child (parent text REFERENCES typed (id))")
	require.Error(t, err)
	require.Zero(t, pgxDriver(t).Classify(err), "%v", err)
}

// A float without a fraction is a number of a column of integers, however many
// digits it has.
func TestWholeFloatsInIntegers(t *testing.T) {
	t.Parallel()
	type total struct {
		bun.BaseModel `bun:"table:totals"`
		Sum           float64 `bun:"type:bigint"`
	}
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE TABLE totals (sum bigint)")
	for _, sum := range []float64{0, -1, 1234567, 1e18} {
		got := total{Sum: sum}
		_, err := db.NewInsert().Model(&got).Returning("NULL").Exec(t.Context())
		require.NoError(t, err, sum)
		n, err := db.NewSelect().Model(&got).Where("sum = ?::bigint", int64(sum)).Count(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, n, sum)
	}
	_, err := db.NewInsert().Model(&total{Sum: 1.5}).Returning("NULL").Exec(t.Context())
	require.Equal(t, driver.InvalidValue, pgxDriver(t).Classify(err), "%v", err)
}
