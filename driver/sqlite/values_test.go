package sqlite_test

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, day date)")

	type row struct {
		bun.BaseModel `bun:"table:x"`
		ID            int64     `bun:",pk,autoincrement"`
		At            time.Time `bun:",nullzero,default:CURRENT_TIMESTAMP"`
		Day           time.Time `bun:",nullzero"`
	}
	zone := time.FixedZone("far away", 7*3600+30*60)
	at := time.Date(2026, 7, 14, 23, 59, 58, 123456000, zone)
	_, err := db.NewInsert().Model(&row{At: at, Day: at}).Exec(t.Context())
	require.NoError(t, err)
	_, err = db.DB.ExecContext(t.Context(), "INSERT INTO x (at, day) VALUES (?, ?)", at, at)
	require.NoError(t, err)

	var rows []row
	require.NoError(t, db.NewSelect().Model(&rows).Order("id").Scan(t.Context()))
	var maps []map[string]any
	require.NoError(t, db.NewSelect().Table("x").Order("id").Scan(t.Context(), &maps))
	for i := range 2 {
		require.Equal(t, at.UTC(), rows[i].At)
		require.Equal(t, at.UTC(), rows[i].Day)
		require.Equal(t, at.UTC(), maps[i]["at"])
		require.Equal(t, at.UTC(), maps[i]["day"])
	}
	// Both ways to write are one text, which can be compared.
	require.Equal(t, 1, one[int](t, db, "SELECT count(DISTINCT CAST(at AS TEXT)) FROM x"))

	var fresh row
	require.NoError(t, db.NewRaw("INSERT INTO x DEFAULT VALUES RETURNING *").Scan(t.Context(), &fresh))
	require.WithinDuration(t, time.Now(), fresh.At, 5*time.Second)
	require.Equal(t, time.UTC, fresh.At.Location())
}

func TestStringsWithNUL(t *testing.T) {
	t.Parallel()
	for _, db := range memoryAndFile(t) {
		run(t, db, "CREATE TABLE x (id INTEGER, s TEXT)")
		run(t, db, "INSERT INTO x VALUES (1, 'a'), (2, 'b')")

		var back string
		require.NoError(t, db.NewRaw("SELECT ? || typeof(?)", "a\x00'", "\x00").Scan(t.Context(), &back))
		require.Equal(t, "a\x00'text", back)
		// SQLite stops at the NUL, and would change all rows.
		_, err := db.DB.ExecContext(t.Context(), "UPDATE x SET s = 'c' \x00 WHERE id = 1")
		require.ErrorContains(t, err, "NUL")
		err = db.DB.QueryRowContext(t.Context(), "UPDATE x SET s = 'c' \x00 WHERE id = 1 RETURNING id").Scan(new(int))
		require.ErrorContains(t, err, "NUL")
		_, err = db.DB.PrepareContext(t.Context(), "UPDATE x SET s = 'c' \x00 WHERE id = 1") //nolint:sqlclosecheck // It fails.
		require.ErrorContains(t, err, "NUL")
		require.Equal(t, "ab", one[string](t, db, "SELECT group_concat(s, '') FROM x"))

		_, err = db.DB.ExecContext(t.Context(), "UPDATE x SET s = ?", "a\x00b")
		require.NoError(t, err)
		require.Equal(t, "a\x00b", one[string](t, db, "SELECT s FROM x WHERE id = 1"))
	}
}

// TestStringsOfAnyBytes: Bun's own way to write them replaces what is not UTF-8.
func TestStringsOfAnyBytes(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	for _, s := range []string{"", "plain", "it's", "''", "ü\xff", "\xc3'); DROP TABLE x; --", "\xf0\x9f'", "\\", "?0", "\u2028"} {
		var got string
		require.NoError(t, db.NewRaw("SELECT ?", s).Scan(t.Context(), &got))
		require.Equal(t, s, got)
	}
}

// TestJSON: Bun's own way to write it is made for PostgreSQL.
func TestJSON(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	type row struct {
		bun.BaseModel `bun:"table:x"`
		ID            int64 `bun:",pk,autoincrement"`
		Data          map[string]string
		Raw           json.RawMessage
	}
	_, err := db.NewCreateTable().Model((*row)(nil)).Exec(t.Context())
	require.NoError(t, err)
	want := row{
		Data: map[string]string{"nul": "a\x00b", "quote": "it's \"so\" \\' '", "slash": `\u0000`, "text": "ü\n"},
		Raw:  json.RawMessage(`["it''s","\u0000"]`),
	}
	_, err = db.NewInsert().Model(&want).Exec(t.Context())
	require.NoError(t, err)
	var got row
	require.NoError(t, db.NewSelect().Model(&got).Scan(t.Context()))
	require.Equal(t, want, got)
	require.Equal(t, 1, one[int](t, db, "SELECT json_valid(data) AND json_valid(raw) FROM x"))

	// It is no JSON, but nothing of it is lost.
	_, err = db.NewInsert().Model(&row{ID: 9, Raw: json.RawMessage("\"a\x00b\"")}).Exec(t.Context())
	require.NoError(t, err)
	require.Equal(t, "\"a\x00b\"", one[string](t, db, "SELECT raw FROM x WHERE id = 9"))
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	for _, db := range memoryAndFile(t) {
		run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, b blob)")
		run(t, db, "INSERT INTO x (b) VALUES (NULL), (x''), (x'00ff')")
		var blobs [][]byte
		require.NoError(t, db.NewRaw("SELECT b FROM x ORDER BY id").Scan(t.Context(), &blobs))
		require.Equal(t, [][]byte{nil, {}, {0, 0xff}}, blobs)

		// Bun asks for the type of the first row, a null, and uses it for all.
		var maps []map[string]any
		require.NoError(t, db.NewSelect().Table("x").ColumnExpr("b, b AS c, CASE id WHEN 1 THEN NULL ELSE b END AS d").Order("id").Scan(t.Context(), &maps))
		require.Nil(t, maps[0]["b"])
		for _, column := range []string{"b", "c", "d"} {
			require.NotNil(t, maps[1][column])
			require.Equal(t, []byte{0, 0xff}, maps[2][column])
		}
	}
}

func TestColumnTypes(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, tt := range []struct{ name, url string }{{"file", file}, {"memory", "sqlite://"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, tt.url)
			run(t, db, "CREATE TABLE x (i integer, f double, s varchar(10), b blob, o boolean, t timestamp, n json)")
			run(t, db, "INSERT INTO x VALUES (1, 1.5, 'a', x'00', TRUE, '2026-01-02 03:04:05', NULL)")
			rows, err := db.QueryContext(t.Context(), "SELECT * FROM x")
			require.NoError(t, err)
			defer func() { require.NoError(t, rows.Close()) }()
			require.True(t, rows.Next())
			types, err := rows.ColumnTypes()
			require.NoError(t, err)
			var names, kinds []string
			for _, column := range types {
				names = append(names, column.DatabaseTypeName())
				require.NotNil(t, column.ScanType())
				kinds = append(kinds, column.ScanType().String())
				nullable, ok := column.Nullable()
				require.True(t, nullable && ok)
			}
			length, ok := types[2].Length()
			require.True(t, ok)
			require.Positive(t, length)
			_, ok = types[0].Length()
			require.False(t, ok)
			require.Equal(t, "INTEGER DOUBLE VARCHAR(10) BLOB BOOLEAN TIMESTAMP JSON", strings.Join(names, " "))
			require.Equal(t, "int64 float64 string []uint8 bool time.Time interface {}", strings.Join(kinds, " "))
			require.NoError(t, rows.Err())
		})
	}
}

func TestTypeNames(t *testing.T) {
	t.Parallel()
	namer, ok := lite().(driver.TypeNamer)
	require.True(t, ok)
	for kind, want := range map[string]string{
		"text": "text", "largebinary": "blob", "datetime": "timestamp", "json": "json", "uuid": "char(36)", "other": "other",
	} {
		require.Equal(t, want, namer.TypeName(kind))
	}
}

// A day has one text in a column of days, however it is given.
func TestDays(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, day date UNIQUE)")
	type row struct {
		bun.BaseModel `bun:"table:x"`
		ID            int64     `bun:",pk,autoincrement"`
		Day           time.Time `bun:"type:date"`
	}
	day := time.Date(2024, 3, 31, 0, 0, 0, 0, time.UTC)
	for name, write := range map[string]func() error{
		"text": func() error { return insertDay(t, db, "2024-03-31") },
		"time": func() error { return insertDay(t, db, day) },
		"zone": func() error { return insertDay(t, db, day.In(time.FixedZone("", 7200))) },
		"map row": func() error {
			return ran(db.NewInsert().Model(&map[string]any{"day": day}).Table("x").Exec(t.Context()))
		},
		"field": func() error { return ran(db.NewInsert().Model(&row{Day: day.Add(23 * time.Hour)}).Exec(t.Context())) },
		"bound": func() error { return ran(db.DB.ExecContext(t.Context(), "INSERT INTO x (day) VALUES (?)", day)) },
	} {
		run(t, db, "DELETE FROM x")
		require.NoError(t, write(), name)
		for _, form := range []any{"2024-03-31", day} {
			n, err := db.NewSelect().Table("x").Where("day = ?", form).Count(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1, n, "%s, looked for as %T", name, form)
			err = insertDay(t, db, form)
			require.Equal(t, driver.Unique, lite().Classify(err), name)
		}
		var got row
		require.NoError(t, db.NewSelect().Model(&got).Scan(t.Context()))
		require.Equal(t, day, got.Day, name)
	}
	_, err := db.DB.ExecContext(t.Context(), "INSERT INTO x (day) VALUES (?)", day.AddDate(9000, 0, 0))
	require.Equal(t, driver.InvalidValue, lite().Classify(err), "%v", err)
}

func insertDay(t *testing.T, db *bun.DB, day any) error {
	t.Helper()
	return ran(db.NewRaw("INSERT INTO x (day) VALUES (?)", day).Exec(t.Context()))
}

func ran[T any](_ T, err error) error { return err }

// A MAX or MIN of times is a time. Of texts it is a text, whatever that looks like.
func TestExtremesOfTimes(t *testing.T) {
	t.Parallel()
	for _, db := range memoryAndFile(t) {
		run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, at timestamp, day date, name text)")
		at := time.Date(2024, 3, 31, 1, 2, 3, 456789000, time.UTC)
		day := time.Date(2024, 3, 31, 0, 0, 0, 0, time.UTC)
		name := "2024-03-31 01:02:03+00:00"
		require.NoError(t, ran(db.NewRaw("INSERT INTO x (at, day, name) VALUES (?, ?, ?), (NULL, NULL, NULL)", at, day, name).Exec(t.Context())))

		var last, first sql.NullTime
		var days *time.Time
		var text string
		scan := func(query string, dest ...any) {
			require.NoError(t, db.NewRaw(query, 1).Scan(t.Context(), dest...), query)
		}
		scan("SELECT MAX(at), min ( x.at ), MAX(day), MAX(name) FROM x WHERE id = ?", &last, &first, &days, &text)
		require.Equal(t, sql.NullTime{Time: at, Valid: true}, last)
		require.Equal(t, last, first)
		require.Equal(t, &day, days)
		require.Equal(t, name, text)
		scan("SELECT (SELECT MAX(at) FROM x) AS a, name FROM x WHERE id = ? GROUP BY name HAVING max(at) > '1970'", &last, &text)
		require.Equal(t, at, last.Time)
		require.Equal(t, name, text)
		scan("SELECT max(name, '1') FROM x WHERE id = ?", &text)
		require.Equal(t, name, text)

		for _, end := range []string{" -- the last", "\n-- )\n", " /* open", "; -- done", " ;\n", " -- a; b"} {
			scan("SELECT /* MAX( */ MAX(at) FROM x"+end, &last)
			require.Equal(t, at, last.Time, end)
		}

		stmt, err := db.DB.PrepareContext(t.Context(), "SELECT MAX(at) FROM x WHERE id = ?")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, stmt.Close()) })
		for range 2 {
			require.NoError(t, stmt.QueryRowContext(t.Context(), 1).Scan(&last))
			require.Equal(t, at, last.Time)
		}
		require.NoError(t, db.NewSelect().Table("x").ColumnExpr("MAX(at)").Where("id = 2").Scan(t.Context(), &last))
		require.False(t, last.Valid)
	}
}
