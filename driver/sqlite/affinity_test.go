package sqlite_test

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/wire"
)

// A decimal writes itself as text, as the packages of such numbers do.
type decimal string

func (d decimal) Value() (sqldriver.Value, error) { return string(d), nil }

// TestTextsThatAreNumbers are kept, or refused where SQLite would round them or
// write them in another way.
func TestTextsThatAreNumbers(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	type row struct {
		bun.BaseModel `bun:"table:x"`
		ID            int64  `bun:",pk,autoincrement"`
		Plain         string `bun:",nullzero"`
		Price         string `bun:"type:numeric(30,10),nullzero"`
		Sum           decimal
		Key           string `bun:"type:uuid,nullzero"`
		State         string `bun:"type:state,nullzero"`
		Ratio         string `bun:"type:double precision,nullzero"`
		Big           *big.Int
	}
	_, err := db.NewCreateTable().Model((*row)(nil)).Exec(t.Context())
	require.NoError(t, err)
	// Sum has a column of text: Bun takes its Value for a string.
	for _, want := range []row{
		{Plain: "12345678901234567890", Sum: "1e400", Price: "12.5", Key: "0191d6a2-98f0-7c55-9a3c-6f4ad62a9d5e", State: "on"},
		{Plain: "007", Sum: "12345678901234567.89", Price: "123456789012345.67", Key: "12", State: "-7"},
		{Plain: "1e5", Sum: " 1 ", Price: "9223372036854775807", Key: "1e", State: "e5"},
		{Plain: "+1", Sum: ".5", Price: "-0.1", Key: "12a", State: "1.2.3"},
		{Ratio: "9007199254740992", Big: new(big.Int).Lsh(big.NewInt(3), 80)}, // Whose column is one of text.
	} {
		_, err := db.NewInsert().Model(&want).Exec(t.Context())
		require.NoError(t, err, "%+v", want)
		got := row{ID: want.ID}
		require.NoError(t, db.NewSelect().Model(&got).WherePK().Scan(t.Context()))
		require.Equal(t, want, got)
	}
	for _, bad := range []row{
		{Price: "12345678901234567.89"},
		{Price: "9223372036854775809"},
		{Price: "0.12345678901234567890"},
		{Price: "1e400"},
		{Key: "1e5"},
		{Key: "007"},
		{Key: "1.50"},
		{Key: "12345678901234567890"},
		{State: "+1"},
		{State: " 1"},
		{State: "1e400"},
		{Ratio: "9007199254740993"},
	} {
		text := db.NewInsert().Model(&bad).String()
		require.Contains(t, text, "?!(sqlite: a text that is a number", "%+v", bad)
		require.Contains(t, text, "declare it TEXT")
	}
}

// TestDocumentsThatAreNumbers are read as what they are from tables of others, too.
func TestDocumentsThatAreNumbers(t *testing.T) {
	t.Parallel()
	for _, db := range memoryAndFile(t) {
		run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, doc JSON, docb jsonb)")
		run(t, db, "INSERT INTO x (doc, docb) VALUES ('1', '1.5'), (1e100, -2), ('1e400', 'true'), (NULL, x'31')")
		type row struct {
			bun.BaseModel `bun:"table:x"`
			ID            int64 `bun:",pk"`
			Doc           json.RawMessage
			Docb          any `bun:"type:jsonb"`
		}
		var rows []row
		require.NoError(t, db.NewSelect().Model(&rows).Order("id").Scan(t.Context()))
		require.Equal(t, []row{
			{ID: 1, Doc: json.RawMessage("1"), Docb: 1.5},
			{ID: 2, Doc: json.RawMessage("1e+100"), Docb: -2.0},
			{ID: 3, Doc: json.RawMessage("9e999"), Docb: true},
			{ID: 4, Docb: 1.0},
		}, rows)
		var number int
		require.NoError(t, db.NewSelect().Table("x").Column("doc").Where("id = 1").Scan(t.Context(), &number))
		require.Equal(t, 1, number)
	}
}

// TestNumericInMaps has the digits that are stored, and those of its scale.
func TestNumericInMaps(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	run(t, db, "CREATE TABLE x (a numeric(10,2), b DECIMAL(10), c numeric)")
	run(t, db, "INSERT INTO x VALUES (12.345, 2.5, 0.1), (12.3, 2, 2), (7, 1e20, 1e-7), (NULL, 'x', NULL)")
	require.Equal(t, [][]sqldriver.Value{
		{"12.345", "2.5", "0.1"}, {"12.30", "2", "2"}, {"7.00", "100000000000000000000", "0.0000001"}, {nil, "x", nil},
	}, mapRows(t, db, "SELECT a, b, c FROM x"))
}

// mapRows returns rows as they go into maps.
func mapRows(t *testing.T, db *bun.DB, query string) (all [][]sqldriver.Value) {
	t.Helper()
	err := withConn(t, db, func(c sqldriver.QueryerContext) error {
		rows, err := c.QueryContext(t.Context(), query, nil)
		if err != nil {
			return err
		}
		maps, ok := rows.(wire.MapRows)
		require.True(t, ok)
		columns := maps.MapColumns()
		for {
			row := make([]sqldriver.Value, len(columns))
			if err := rows.Next(row); err != nil {
				return errors.Join(err, rows.Close())
			}
			for i, to := range columns {
				if to != nil {
					row[i] = to(row[i])
				}
			}
			all = append(all, row)
		}
	})
	require.ErrorIs(t, err, io.EOF)
	return all
}

func withConn(t *testing.T, db *bun.DB, use func(sqldriver.QueryerContext) error) (err error) {
	t.Helper()
	var conn *sql.Conn
	conn, err = db.DB.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	return conn.Raw(func(c any) error {
		queryer, ok := c.(sqldriver.QueryerContext)
		require.True(t, ok)
		return use(queryer)
	})
}
