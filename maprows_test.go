package echobun_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// everyKind has a column of each portable type, and each may be null.
var everyKind = &echobun.Table{Name: "kinds", Columns: []echobun.Column{
	{Name: "id", Type: echobun.BigInteger, PrimaryKey: true},
	{Name: "small", Type: echobun.SmallInteger},
	{Name: "whole", Type: echobun.Integer},
	{Name: "big", Type: echobun.BigInteger},
	{Name: "flag", Type: echobun.Boolean},
	{Name: "single", Type: echobun.Float},
	{Name: "double", Type: echobun.Double},
	{Name: "price", Type: echobun.Numeric(10, 2)},
	{Name: "whole_price", Type: echobun.Numeric(10, 0)},
	{Name: "text", Type: echobun.Text},
	{Name: "name", Type: echobun.String(20)},
	{Name: "sure", Type: echobun.String(20), NotNull: true},
	{Name: "raw", Type: echobun.LargeBinary},
	{Name: "day", Type: echobun.Date},
	{Name: "clock", Type: echobun.Time},
	{Name: "at", Type: echobun.DateTime},
	{Name: "doc", Type: echobun.JSON},
	{Name: "uuid", Type: echobun.UUID},
}}

var kindsAt = time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC)

// kindsRow is a row as it is written, and as it is read on every database.
func kindsRow() map[string]any {
	return map[string]any{
		"id": int64(1), "small": int64(-7), "whole": int64(70_000), "big": int64(1) << 60, "flag": true, "single": 0.1, "double": 0.1,
		"price": "12.30", "whole_price": "12", "text": "ä🎉", "name": "ann", "sure": "", "raw": []byte{0, 0xff, '\''},
		"day": time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), "clock": "12:34:56.78", "at": kindsAt,
		"doc": `{"a": [1, "b"]}`, "uuid": "0191d6a2-98f0-7c55-9a3c-6f4ad62a9d5e",
	}
}

func kindsNulls() map[string]any {
	row := map[string]any{"id": int64(2), "sure": "x"}
	for _, c := range everyKind.Columns {
		if _, ok := row[c.Name]; !ok {
			row[c.Name] = nil
		}
	}
	return row
}

// A row of a Table is the same map on every database, however it is read.
func TestRowsAsMaps(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{everyKind}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSchema(t, x)
		want := []map[string]any{kindsRow(), kindsNulls()}
		for _, row := range want {
			_, err := s.NewInsert().Table(everyKind).Model(&row).Exec(ctx)
			require.NoError(t, err)
		}

		var rows []map[string]any
		require.NoError(t, s.NewSelect().Table(everyKind).Order("id").Scan(ctx, &rows))
		require.Equal(t, want, rows)
		var raw []map[string]any
		require.NoError(t, s.Bind("").NewRaw("SELECT * FROM kinds ORDER BY id").Scan(ctx, &raw))
		require.Equal(t, want, raw)
		for i, id := range []int{1, 2} {
			row := map[string]any{}
			require.NoError(t, s.NewSelect().Table(everyKind).Where("id = ?", id).Scan(ctx, &row))
			require.Equal(t, want[i], row)
		}
		require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			var row map[string]any
			err := tx.NewSelect().Table(everyKind).Where("id = 1").Scan(ctx, &row)
			require.Equal(t, want[0], row)
			return err
		}))

		// Written back as it was read, it stays what it is.
		_, err := s.NewDelete().Table(everyKind).Where("TRUE").Exec(ctx)
		require.NoError(t, err)
		for _, row := range rows {
			_, err := s.NewInsert().Table(everyKind).Model(&row).Exec(ctx)
			require.NoError(t, err)
		}
		var again []map[string]any
		require.NoError(t, s.NewSelect().Table(everyKind).Order("id").Scan(ctx, &again))
		require.Equal(t, want, again)

		text, err := json.Marshal(map[string]any{"name": rows[0]["name"], "flag": rows[0]["flag"], "price": rows[0]["price"], "day": rows[0]["day"]})
		require.NoError(t, err)
		require.JSONEq(t, `{"name": "ann", "flag": true, "price": "12.30", "day": "2024-02-29T00:00:00Z"}`, string(text))
	})
}

// What a write returns is a map like any other.
func TestReturnedRowsAsMaps(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{everyKind}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSchema(t, x)
		row, got := kindsRow(), map[string]any{}
		require.NoError(t, s.NewInsert().Table(everyKind).Model(&row).Returning("*").Scan(ctx, &got))
		require.Equal(t, kindsRow(), got)
	})
}

// kindOf is a row of everyKind that was written as a struct.
type kindOf struct {
	bun.BaseModel `bun:"table:kinds"`

	ID    int64 `bun:",pk"`
	Sure  string
	Flag  bool
	Price string `bun:"type:numeric(10,2)"`
	Name  string
}

// What a write of a slice returns into maps is what a query would read.
func TestReturnedRowsOfASliceAsMaps(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{everyKind}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSchema(t, x)
		row := kindsRow()
		require.NoError(t, ran(s.NewInsert().Table(everyKind).Model(&row).Exec(ctx)))
		write := func(db bun.IDB) {
			added := []kindOf{{ID: 2, Sure: "x", Flag: true, Price: "1.50", Name: "b"}, {ID: 3, Sure: "x", Price: "2", Name: "c"}}
			second, third := kindsNulls(), kindsNulls()
			second["flag"], second["price"], second["name"] = true, "1.50", "b"
			third["id"], third["flag"], third["price"], third["name"] = int64(3), false, "2.00", "c"
			var rows []map[string]any
			require.NoError(t, ran(db.NewInsert().Model(&added).Returning("*").Exec(ctx, &rows)))
			require.Equal(t, []map[string]any{second, third}, rows)

			keys := []kindOf{{ID: 1}}
			if x.Engine().Dialect().Name() != dialect.MySQL {
				one := map[string]any{}
				require.NoError(t, db.NewUpdate().Model(&keys).Set("name = name").WherePK().Returning("*").Scan(ctx, &one))
				require.Equal(t, kindsRow(), one)
			}
			var read, returned []any
			if x.Engine().Dialect().Name() == dialect.MySQL {
				read = []any{[]byte("1.50"), []byte("2.00")} // A query would give Bun bytes that are only lent.
			} else {
				require.NoError(t, db.NewSelect().Model((*kindOf)(nil)).Column("price").Where("id > 1").Order("id").Scan(ctx, &read))
			}
			require.NoError(t, db.NewDelete().Model(&[]kindOf{{ID: 2}, {ID: 3}}).WherePK().Returning("price").Scan(ctx, &returned))
			require.Equal(t, read, returned)
			one := map[string]any{}
			require.NoError(t, db.NewDelete().Model(&keys).WherePK().Returning("*").Scan(ctx, &one))
			require.Equal(t, kindsRow(), one)
			require.NoError(t, ran(s.NewInsert().Table(everyKind).Model(&row).Exec(ctx)))
		}
		write(s.Bind(""))
		write(x.Engine())
	})
}

// Rows that are not for maps are left as their driver gives them, also where
// their types are asked for.
func TestOtherRowsStayTheDrivers(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{everyKind}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSchema(t, x)
		row := kindsRow()
		_, err := s.NewInsert().Table(everyKind).Model(&row).Exec(ctx)
		require.NoError(t, err)
		rows, err := x.Engine().QueryContext(ctx, "SELECT flag, whole, at FROM kinds")
		require.NoError(t, err)
		defer func() { require.NoError(t, errors.Join(rows.Err(), rows.Close())) }()
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.Len(t, types, 3)
		require.True(t, rows.Next())
		var flag any
		var whole int
		var at time.Time
		require.NoError(t, rows.Scan(&flag, &whole, &at))
		if x.Engine().Dialect().Name() == dialect.MySQL {
			require.Equal(t, int64(1), flag)
		}
		require.Equal(t, 70_000, whole)
		require.True(t, kindsAt.Equal(at))
	})
}

// What Bun reads into maps is converted, whoever had the rows, and else nothing is.
func TestMapsThroughEveryDoor(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{everyKind}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		row := kindsRow()
		_, err := s.NewInsert().Table(everyKind).Model(&row).Exec(ctx)
		require.NoError(t, err)
		want := []map[string]any{{"flag": true, "price": "12.30"}}
		read := func(db bun.IDB) error {
			var rows, own []map[string]any
			require.NoError(t, db.NewSelect().Table("kinds").Column("flag", "price").Scan(ctx, &rows))
			require.Equal(t, want, rows)
			mine, err := db.QueryContext(ctx, "SELECT flag, price FROM kinds")
			require.NoError(t, err)
			defer mine.Close()
			require.NoError(t, errors.Join(x.Engine().ScanRows(ctx, mine, &own), mine.Err()))
			require.Equal(t, want, own)

			mine, err = db.NewSelect().Table("kinds").Column("flag").Rows(ctx)
			require.NoError(t, err)
			defer mine.Close()
			_, err = mine.ColumnTypes()
			require.NoError(t, err)
			require.True(t, mine.Next())
			var flag any
			require.NoError(t, mine.Scan(&flag))
			if x.Engine().Dialect().Name() == dialect.MySQL {
				require.Equal(t, int64(1), flag)
			}
			return mine.Err()
		}
		require.NoError(t, read(s.Bind("")))
		require.NoError(t, read(x.Engine()))
		require.NoError(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error { return read(tx.Bind("")) }))
		require.NoError(t, x.Engine().RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error { return read(tx) }))
	})
}

// MySQL has kinds of columns that the others have not.
func TestMapsOfMySQLsOwnTypes(t *testing.T) {
	t.Parallel()
	_, ctx, s := databaseOf(t, "CHARACTER SET utf8mb4")
	_, err := s.Bind("").ExecContext(ctx, "CREATE TABLE own (b1 bit(1), b8 bit(8), e enum('a','b'), u bigint unsigned, y year, f float, "+
		"d decimal(65,30), c time(3), t tinyint(4), v varbinary(3), at datetime(3), stamp timestamp(6) NULL)")
	require.NoError(t, err)
	_, err = s.Bind("").ExecContext(ctx, "INSERT INTO own VALUES (1, 49, 'b', 18446744073709551615, 2024, 0.1, 1.5, '-12:34:56.780', 1, X'00ff', "+
		"'2024-02-29 12:34:56.789', '2024-02-29 12:34:56.5')")
	require.NoError(t, err)
	var row map[string]any
	require.NoError(t, s.Bind("").NewRaw("SELECT * FROM own").Scan(ctx, &row))
	require.Equal(t, map[string]any{
		"b1": true, "b8": []byte("1"), "e": "b", "u": uint64(1<<64 - 1), "y": int64(2024), "f": 0.1,
		"d": "1.500000000000000000000000000000", "c": "-12:34:56.78", "t": int64(1), "v": []byte{0, 0xff},
		"at": time.Date(2024, 2, 29, 12, 34, 56, 789e6, time.UTC), "stamp": time.Date(2024, 2, 29, 12, 34, 56, 500e6, time.UTC),
	}, row)
}
